"""What computes: networks that return every signal a synapse can see."""

from metaplax.networks.activations import AbstractActivation, ReLU, Softplus, Tanh
from metaplax.networks.batched import AbstractBatchNetwork, EquinoxNetwork
from metaplax.networks.lenet import BatchNormLeNet
from metaplax.networks.mlp import MLP, Activity, Weights
from metaplax.networks.readouts import AbstractReadout, SoftmaxCrossEntropy, SquaredError

__all__ = [
    "MLP",
    "AbstractActivation",
    "AbstractBatchNetwork",
    "AbstractReadout",
    "Activity",
    "BatchNormLeNet",
    "EquinoxNetwork",
    "ReLU",
    "SoftmaxCrossEntropy",
    "Softplus",
    "SquaredError",
    "Tanh",
    "Weights",
]
