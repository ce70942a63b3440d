"""metaplax: meta-learning biologically plausible learning rules.

One verb, three orthogonal arguments: :func:`meta_train` takes a learner, a distribution of tasks and a
meta-gradient estimator.
"""

from metaplax import (
    analysis,
    benchmark,
    data,
    estimators,
    experiments,
    feedback,
    learners,
    networks,
    plasticity,
    reports,
    tasks,
    training,
)
from metaplax._version import __version__
from metaplax.learners import OnlinePlasticity
from metaplax.networks import MLP
from metaplax.plasticity import rules
from metaplax.training import meta_train

__all__ = [
    "MLP",
    "OnlinePlasticity",
    "__version__",
    "analysis",
    "benchmark",
    "data",
    "estimators",
    "experiments",
    "feedback",
    "learners",
    "meta_train",
    "networks",
    "plasticity",
    "reports",
    "rules",
    "tasks",
    "training",
]
