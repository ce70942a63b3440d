"""Lindsey & Litwin-Kumar (2020): learned feedback and local plasticity for learning online and continually."""

from metaplax.experiments.base import AbstractExperiment
from metaplax.experiments.lindsey2020.ablations import Ablations
from metaplax.experiments.lindsey2020.image_streams import OmniglotContinual, OmniglotIid
from metaplax.experiments.lindsey2020.interference import Interference
from metaplax.experiments.lindsey2020.regression import RegressionContinual, RegressionIid

EXPERIMENTS: tuple[type[AbstractExperiment], ...] = (
    RegressionIid,
    RegressionContinual,
    OmniglotIid,
    OmniglotContinual,
    Ablations,
    Interference,
)

__all__ = ["EXPERIMENTS"]
