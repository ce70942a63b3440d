"""What computes: networks that return every signal a synapse can see."""

from metaplax.networks.activations import AbstractActivation, ReLU, Softplus, Tanh
from metaplax.networks.mlp import MLP, Activity, Weights
from metaplax.networks.readouts import AbstractReadout, SoftmaxCrossEntropy

__all__ = [
    "MLP",
    "AbstractActivation",
    "AbstractReadout",
    "Activity",
    "ReLU",
    "SoftmaxCrossEntropy",
    "Softplus",
    "Tanh",
    "Weights",
]
