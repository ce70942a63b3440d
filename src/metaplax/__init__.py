"""metaplax: meta-learning biologically plausible learning rules.

One verb, three orthogonal arguments: :func:`meta_train` takes a learner, a distribution of tasks and a
meta-gradient estimator.
"""

from metaplax import (
    analysis,
    data,
    estimators,
    experiments,
    feedback,
    learners,
    networks,
    optim,
    plasticity,
    reports,
    runs,
    tasks,
    training,
)
from metaplax._version import __version__
from metaplax.learners import OnlinePlasticity
from metaplax.networks import MLP
from metaplax.plasticity import named_rules as rules
from metaplax.training import meta_train

__all__ = [
    "MLP",
    "OnlinePlasticity",
    "__version__",
    "analysis",
    "data",
    "estimators",
    "experiments",
    "feedback",
    "learners",
    "meta_train",
    "networks",
    "optim",
    "plasticity",
    "reports",
    "rules",
    "runs",
    "tasks",
    "training",
]
