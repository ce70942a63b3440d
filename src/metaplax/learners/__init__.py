"""Inner loops: what changes within an episode, by which update, and how the result is scored."""

from metaplax.learners.base import (
    AbstractInnerStep,
    AbstractLearner,
    IncompatibleError,
    InnerStep,
    Loop,
    plain_loop,
)
from metaplax.learners.energy.base import AbstractEnergyLearner, AbstractMinimiser, EnergyState, NudgedEnergy
from metaplax.learners.energy.descent import Descent
from metaplax.learners.energy.eprop import Traces, eprop_traces
from metaplax.learners.energy.gain_modulation import GainModulation, Modulation
from metaplax.learners.energy.inner_gradient import BPTT, AbstractInnerGradient, EProp
from metaplax.learners.energy.local_rule import LocalRule
from metaplax.learners.energy.network_learner import AbstractNetworkLearner
from metaplax.learners.energy.newton import Inexact, Newton
from metaplax.learners.energy.spiking_learner import SpikingLearner
from metaplax.learners.energy.synapses import ComplexSynapse, MetaRegularised
from metaplax.learners.equinox_modules import from_equinox, into_equinox
from metaplax.learners.feedback_plasticity import FeedbackPlasticity
from metaplax.learners.hebbff import AddressedFamiliarity, HebbFF
from metaplax.learners.invertible import AbstractInvertibleLearner
from metaplax.learners.online_gradient import OnlineGradient
from metaplax.learners.online_plasticity import OnlinePlasticity
from metaplax.learners.plastic_learner import PlasticLearner, PlasticState
from metaplax.learners.plasticity_optimizer import PlasticityOptimizer, plasticity_optimizer
from metaplax.learners.trainable import freeze, join, split, trainable, with_trainable

__all__ = [
    "BPTT", "AbstractEnergyLearner", "AbstractInnerGradient", "AbstractInnerStep", "AbstractInvertibleLearner",
    "AbstractLearner", "AbstractMinimiser", "AbstractNetworkLearner", "AddressedFamiliarity", "ComplexSynapse",
    "Descent", "EProp", "EnergyState", "FeedbackPlasticity", "GainModulation", "HebbFF", "IncompatibleError", "Inexact",
    "InnerStep", "LocalRule", "Loop", "MetaRegularised", "Modulation", "Newton", "NudgedEnergy", "OnlineGradient",
    "OnlinePlasticity", "PlasticLearner", "PlasticState", "PlasticityOptimizer", "SpikingLearner", "Traces",
    "eprop_traces", "freeze", "from_equinox", "into_equinox", "join", "plain_loop", "plasticity_optimizer", "split",
    "trainable", "with_trainable",
]  # fmt: skip
