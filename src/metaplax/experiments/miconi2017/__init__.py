"""Miconi (2017): learning of a recurrent network from a reward that comes at the end of a trial."""

from metaplax.experiments.base import AbstractExperiment
from metaplax.experiments.miconi2017.dnms import NonMatch
from metaplax.experiments.miconi2017.gradient import Gradient

EXPERIMENTS: tuple[type[AbstractExperiment], ...] = (NonMatch, Gradient)

__all__ = ["EXPERIMENTS"]
