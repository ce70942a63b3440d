"""Published experiments, one configuration each."""

from metaplax.experiments.base import AbstractExperiment, ConfigError
from metaplax.experiments.registry import EXPERIMENTS, lookup
from metaplax.experiments.run import RunOptions, preset, resume, run
from metaplax.experiments.shervani2023 import OnlineRuleLearning

__all__ = [
    "EXPERIMENTS",
    "AbstractExperiment",
    "ConfigError",
    "OnlineRuleLearning",
    "RunOptions",
    "lookup",
    "preset",
    "resume",
    "run",
]
