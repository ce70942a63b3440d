"""What computes: networks that return every signal a synapse can see."""

from metaplax.networks.activations import AbstractActivation, ReLU, Softplus, Tanh
from metaplax.networks.batched import AbstractBatchNetwork, EquinoxNetwork
from metaplax.networks.lenet import BatchNormLeNet
from metaplax.networks.mlp import MLP, Activity, Weights
from metaplax.networks.readouts import AbstractReadout, SoftmaxCrossEntropy, SquaredError
from metaplax.networks.spiking import Recording, RecurrentLIF, SpikingWeights
from metaplax.networks.surrogates import AbstractSurrogate, FastSigmoid, Triangular

__all__ = [
    "MLP",
    "AbstractActivation",
    "AbstractBatchNetwork",
    "AbstractReadout",
    "AbstractSurrogate",
    "Activity",
    "BatchNormLeNet",
    "EquinoxNetwork",
    "FastSigmoid",
    "ReLU",
    "Recording",
    "RecurrentLIF",
    "SoftmaxCrossEntropy",
    "Softplus",
    "SpikingWeights",
    "SquaredError",
    "Tanh",
    "Triangular",
    "Weights",
]
