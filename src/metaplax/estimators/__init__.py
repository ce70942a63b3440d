"""Meta-gradients: how the outer loss depends on the learner's own parameters."""

from typing import Literal

from metaplax.estimators.base import RESULTS, AbstractEstimator, MetaGradient
from metaplax.estimators.contrastive import Contrastive
from metaplax.estimators.evolution import EvolutionStrategies
from metaplax.estimators.forward_gradient import ForwardGradient
from metaplax.estimators.implicit import T1T2, AbstractImplicit, ConjugateGradient, ImplicitDirect, Neumann
from metaplax.estimators.persistent import PersistentES
from metaplax.estimators.perturbed import AbstractPerturbed, AbstractRandom
from metaplax.estimators.reptile import Reptile
from metaplax.estimators.reversible import FallbackWarning, Reversible
from metaplax.estimators.unrolled import Checkpointed, ForwardMode, Reverse, Truncated

EstimatorName = Literal["reversible", "checkpointed", "reverse", "forward"]
ESTIMATORS: dict[EstimatorName, type[AbstractEstimator]] = {
    "reversible": Reversible,
    "checkpointed": Checkpointed,
    "reverse": Reverse,
    "forward": ForwardMode,
}
"""Exact estimators by the short names that configurations and the command line use."""

__all__ = [
    "ESTIMATORS", "RESULTS", "T1T2", "AbstractEstimator", "AbstractImplicit", "AbstractPerturbed", "AbstractRandom",
    "Checkpointed", "ConjugateGradient", "Contrastive", "EstimatorName", "EvolutionStrategies", "FallbackWarning",
    "ForwardGradient", "ForwardMode", "ImplicitDirect", "MetaGradient", "Neumann", "PersistentES", "Reptile", "Reverse",
    "Reversible", "Truncated",
]  # fmt: skip
