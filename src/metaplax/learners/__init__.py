"""Inner loops: what changes within an episode, by which update, and how the result is scored."""

from metaplax.learners.base import (
    AbstractInnerStep,
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
from metaplax.learners.energy import (
    BPTT,
    AbstractEnergyLearner,
    AbstractInnerGradient,
    AbstractMinimiser,
    AbstractNetworkLearner,
    ComplexSynapse,
    Descent,
    EnergyState,
    EProp,
    GainModulation,
    Inexact,
    MetaRegularised,
    Modulation,
    Newton,
    NudgedEnergy,
    SpikingLearner,
    Traces,
    eprop_traces,
)
from metaplax.learners.equinox_mlp import from_equinox, into_equinox
from metaplax.learners.feedback_plasticity import FeedbackPlasticity
from metaplax.learners.invertible import AbstractInvertibleLearner
from metaplax.learners.online_gradient import OnlineGradient
from metaplax.learners.online_plasticity import OnlinePlasticity, PlasticState
from metaplax.learners.plasticity_optimizer import PlasticityOptimizer, plasticity_optimizer
from metaplax.learners.streams import AbstractStreamLearner

__all__ = [
    "BPTT",
    "AbstractEnergyLearner",
    "AbstractInnerGradient",
    "AbstractInnerStep",
    "AbstractInvertibleLearner",
    "AbstractLearner",
    "AbstractMinimiser",
    "AbstractNetworkLearner",
    "AbstractStreamLearner",
    "ComplexSynapse",
    "Descent",
    "EProp",
    "EnergyState",
    "FeedbackPlasticity",
    "GainModulation",
    "IncompatibleError",
    "Inexact",
    "InnerStep",
    "Loop",
    "MetaRegularised",
    "Modulation",
    "Newton",
    "NudgedEnergy",
    "OnlineGradient",
    "OnlinePlasticity",
    "PlasticState",
    "PlasticityOptimizer",
    "SpikingLearner",
    "Traces",
    "eprop_traces",
    "freeze",
    "from_equinox",
    "into_equinox",
    "is_meta_parameter",
    "join",
    "plain_loop",
    "plasticity_optimizer",
    "split",
]
