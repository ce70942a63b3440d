"""Inner loops that minimise an energy, by gradients or along a direction that a local rule computes."""

from metaplax.learners.energy.base import AbstractEnergyLearner, AbstractMinimiser, EnergyState, NudgedEnergy
from metaplax.learners.energy.descent import Descent
from metaplax.learners.energy.eprop import Traces, eprop_traces
from metaplax.learners.energy.gain_modulation import GainModulation, Modulation
from metaplax.learners.energy.inner_gradient import BPTT, AbstractInnerGradient, EProp
from metaplax.learners.energy.network_learner import AbstractNetworkLearner
from metaplax.learners.energy.newton import Inexact, Newton
from metaplax.learners.energy.spiking_learner import SpikingLearner
from metaplax.learners.energy.synapses import ComplexSynapse, MetaRegularised

__all__ = [
    "BPTT",
    "AbstractEnergyLearner",
    "AbstractInnerGradient",
    "AbstractMinimiser",
    "AbstractNetworkLearner",
    "ComplexSynapse",
    "Descent",
    "EProp",
    "EnergyState",
    "GainModulation",
    "Inexact",
    "MetaRegularised",
    "Modulation",
    "Newton",
    "NudgedEnergy",
    "SpikingLearner",
    "Traces",
    "eprop_traces",
]
