"""Published experiments, one configuration each."""

from metaplax.experiments.base import AbstractExperiment, ConfigError
from metaplax.experiments.registry import EXPERIMENTS, lookup
from metaplax.experiments.run import RunOptions, preset, resume, run

__all__ = [
    "EXPERIMENTS",
    "AbstractExperiment",
    "ConfigError",
    "RunOptions",
    "lookup",
    "preset",
    "resume",
    "run",
]
