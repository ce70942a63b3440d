"""Inner loops: what changes within an episode, by which update, and how the result is scored."""

from metaplax.learners.base import AbstractLearner, IncompatibleError, freeze, is_meta_parameter, join, split
from metaplax.learners.online_plasticity import OnlinePlasticity, PlasticState

__all__ = [
    "AbstractLearner",
    "IncompatibleError",
    "OnlinePlasticity",
    "PlasticState",
    "freeze",
    "is_meta_parameter",
    "join",
    "split",
]
