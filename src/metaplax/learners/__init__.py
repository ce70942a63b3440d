"""Inner loops: what changes within an episode, by which update, and how the result is scored."""

from metaplax.learners.base import (
    AbstractLearner,
    IncompatibleError,
    InnerStep,
    Loop,
    freeze,
    is_meta_parameter,
    join,
    plain_loop,
    split,
)
from metaplax.learners.equinox_mlp import from_equinox, into_equinox
from metaplax.learners.online_plasticity import OnlinePlasticity, PlasticState
from metaplax.learners.plasticity_optimizer import PlasticityOptimizer, plasticity_optimizer
from metaplax.learners.structured import AbstractStructuredLearner

__all__ = [
    "AbstractLearner",
    "AbstractStructuredLearner",
    "IncompatibleError",
    "InnerStep",
    "Loop",
    "OnlinePlasticity",
    "PlasticState",
    "PlasticityOptimizer",
    "freeze",
    "from_equinox",
    "into_equinox",
    "is_meta_parameter",
    "join",
    "plain_loop",
    "plasticity_optimizer",
    "split",
]
