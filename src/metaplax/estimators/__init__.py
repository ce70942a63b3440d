"""Meta-gradients: how the outer loss depends on the learner's own parameters."""

from metaplax.estimators.base import AbstractEstimator
from metaplax.estimators.checkpointed import Checkpointed
from metaplax.estimators.forward_mode import ForwardMode
from metaplax.estimators.named import ESTIMATORS, EstimatorName
from metaplax.estimators.reverse import Reverse
from metaplax.estimators.reversible import FallbackWarning, Reversible

__all__ = [
    "ESTIMATORS",
    "AbstractEstimator",
    "Checkpointed",
    "EstimatorName",
    "FallbackWarning",
    "ForwardMode",
    "Reverse",
    "Reversible",
]
