"""metaplax: meta-learning biologically plausible learning rules.

One function, ``meta_train``, with three independent arguments: a learner, a distribution of tasks, and a meta-gradient
estimator.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from metaplax import analysis, data, estimators, feedback, learners, networks, optim, plasticity, runs, tasks, training
from metaplax._version import __version__
from metaplax.feedback import modulators
from metaplax.learners import ComplexSynapse, LocalRule, OnlinePlasticity, PlasticLearner
from metaplax.networks import MLP, constraints
from metaplax.plasticity import named_rules as rules
from metaplax.training import meta_train

if TYPE_CHECKING:
    from metaplax import experiments, reports

__all__ = [
    "MLP", "ComplexSynapse", "LocalRule", "OnlinePlasticity", "PlasticLearner", "__version__", "analysis",
    "constraints", "data", "estimators", "experiments", "feedback", "learners", "meta_train", "modulators", "networks",
    "optim", "plasticity", "reports", "rules", "runs", "tasks", "training",
]  # fmt: skip


def __getattr__(name: str) -> ModuleType:
    """Import the subpackages that take long to import, and that not every program needs, at their first use."""
    if name in ("experiments", "reports"):
        return import_module(f"metaplax.{name}")
    raise AttributeError(f"module 'metaplax' has no attribute {name!r}")
