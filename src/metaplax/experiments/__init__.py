"""Published experiments, one configuration each."""

from metaplax.experiments.base import AbstractExperiment, ConfigError, Published
from metaplax.experiments.registry import EXPERIMENTS, lookup
from metaplax.experiments.run import RunOptions, resume, run
from metaplax.experiments.summary import Quantity, quantities

__all__ = [
    "EXPERIMENTS",
    "AbstractExperiment",
    "ConfigError",
    "Published",
    "Quantity",
    "RunOptions",
    "lookup",
    "quantities",
    "resume",
    "run",
]
