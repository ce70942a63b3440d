"""Zucchet et al. (2022): a contrastive rule for meta-learning."""

from metaplax.experiments.base import AbstractExperiment
from metaplax.experiments.zucchet2022.error_bound import ErrorBound
from metaplax.experiments.zucchet2022.metaopt import MetaoptCIFAR10, MetaoptMNIST
from metaplax.experiments.zucchet2022.spiking import SpikingPattern, SpikingSinusoid

EXPERIMENTS: tuple[type[AbstractExperiment], ...] = (
    ErrorBound,
    MetaoptMNIST,
    MetaoptCIFAR10,
    SpikingSinusoid,
    SpikingPattern,
)

__all__ = ["EXPERIMENTS"]
