"""Zucchet et al. (2022): a contrastive rule for meta-learning."""

from metaplax.experiments.base import AbstractExperiment
from metaplax.experiments.zucchet2022.error_bound import ErrorBound
from metaplax.experiments.zucchet2022.few_shot_vision import FewShotMiniImageNet, FewShotOmniglot
from metaplax.experiments.zucchet2022.metaopt import MetaoptCIFAR10, MetaoptMNIST
from metaplax.experiments.zucchet2022.spiking import SpikingPattern, SpikingSinusoid
from metaplax.experiments.zucchet2022.wheel_bandit import WheelBandit

EXPERIMENTS: tuple[type[AbstractExperiment], ...] = (
    ErrorBound,
    MetaoptMNIST,
    MetaoptCIFAR10,
    SpikingSinusoid,
    SpikingPattern,
    FewShotOmniglot,
    FewShotMiniImageNet,
    WheelBandit,
)

__all__ = ["EXPERIMENTS"]
