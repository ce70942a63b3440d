"""Zucchet et al. (2022): a contrastive rule for meta-learning."""

from metaplax.experiments.base import AbstractExperiment
from metaplax.experiments.zucchet2022.error_bound import ErrorBound
from metaplax.experiments.zucchet2022.metaopt import MetaoptCIFAR10, MetaoptMNIST

EXPERIMENTS: tuple[type[AbstractExperiment], ...] = (ErrorBound, MetaoptMNIST, MetaoptCIFAR10)

__all__ = ["EXPERIMENTS"]
