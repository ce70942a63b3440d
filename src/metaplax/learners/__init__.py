"""Inner loops: what changes within an episode, by which update, and how the result is scored."""

from metaplax.learners.base import AbstractLearner, IncompatibleError, freeze
from metaplax.learners.online_plasticity import OnlinePlasticity, PlasticState

__all__ = ["AbstractLearner", "IncompatibleError", "OnlinePlasticity", "PlasticState", "freeze"]
