"""metaplax: meta-learning biologically plausible learning rules.

One function, ``meta_train``, with three independent arguments: a learner, a distribution of tasks, and a meta-gradient
estimator.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from metaplax._version import __version__

if TYPE_CHECKING:
    from metaplax import (
        analysis,
        data,
        estimators,
        experiments,
        feedback,
        inference,
        learners,
        networks,
        optim,
        plasticity,
        reports,
        runs,
        tasks,
        training,
    )
    from metaplax.experiments import compare_estimators
    from metaplax.feedback import modulators
    from metaplax.inference import infer
    from metaplax.learners import ComplexSynapse, LocalRule, OnlinePlasticity, PlasticLearner
    from metaplax.networks import MLP, constraints
    from metaplax.plasticity import named_rules as rules
    from metaplax.training import load, meta_train

__all__ = [
    "MLP", "ComplexSynapse", "LocalRule", "OnlinePlasticity", "PlasticLearner", "__version__", "analysis",
    "compare_estimators", "constraints", "data", "estimators", "experiments", "feedback", "infer", "inference",
    "learners", "load", "meta_train", "modulators", "networks", "optim", "plasticity", "reports", "rules", "runs",
    "tasks", "training",
]  # fmt: skip

ORIGIN = {
    "MLP": "networks", "ComplexSynapse": "learners", "LocalRule": "learners", "OnlinePlasticity": "learners",
    "PlasticLearner": "learners", "compare_estimators": "experiments", "constraints": "networks",
    "infer": "inference", "load": "training", "meta_train": "training", "modulators": "feedback", "rules": "plasticity",
}  # fmt: skip
"""Where what is no subpackage itself comes from."""


def __getattr__(name: str) -> Any:
    """Import what is used at its first use: the command line answers, and can be stopped, before JAX is imported."""
    if name not in __all__:
        raise AttributeError(f"module 'metaplax' has no attribute {name!r}")
    return (
        getattr(import_module(f"metaplax.{ORIGIN[name]}"), name)
        if name in ORIGIN
        else import_module(f"metaplax.{name}")
    )


def __dir__() -> list[str]:
    return __all__
