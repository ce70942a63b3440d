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
from metaplax.learners.credit import BPTT, AbstractCredit, EProp
from metaplax.learners.descent import Descent
from metaplax.learners.energy import AbstractEnergyLearner, AbstractMinimiser, Augmented, EnergyState
from metaplax.learners.energy_network import AbstractNetworkLearner
from metaplax.learners.eprop import Traces, eprop_traces
from metaplax.learners.equinox_mlp import from_equinox, into_equinox
from metaplax.learners.feedback_plasticity import FeedbackPlasticity
from metaplax.learners.gain_modulation import GainModulation, Modulation
from metaplax.learners.newton import Inexact, Newton
from metaplax.learners.online_gradient import OnlineGradient
from metaplax.learners.online_plasticity import OnlinePlasticity, PlasticState
from metaplax.learners.plasticity_optimizer import PlasticityOptimizer, plasticity_optimizer
from metaplax.learners.spiking import SpikingLearner
from metaplax.learners.streams import AbstractStreamLearner
from metaplax.learners.structured import AbstractStructuredLearner
from metaplax.learners.synapses import ComplexSynapse, MetaRegularised

__all__ = [
    "BPTT",
    "AbstractCredit",
    "AbstractEnergyLearner",
    "AbstractInnerStep",
    "AbstractLearner",
    "AbstractMinimiser",
    "AbstractNetworkLearner",
    "AbstractStreamLearner",
    "AbstractStructuredLearner",
    "Augmented",
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
