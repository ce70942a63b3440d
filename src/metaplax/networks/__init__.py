"""What computes: networks that return every signal a synapse can see."""

from metaplax.networks.activations import AbstractActivation, ReLU, Softplus, Tanh
from metaplax.networks.batched import AbstractBatchNetwork, EquinoxNetwork
from metaplax.networks.conv_blocks import ConvBlocks
from metaplax.networks.convolution import convolve
from metaplax.networks.fronted import FrontedMLP, FrontedWeights
from metaplax.networks.fronts import AbstractFront, Affine, ConvFront, DenseFront, NoFront
from metaplax.networks.lenet import BatchNormLeNet
from metaplax.networks.mlp import MLP, Activity, Weights
from metaplax.networks.readouts import (
    AbstractReadout,
    MeanSquaredError,
    PartialSquaredError,
    SoftmaxCrossEntropy,
    SquaredError,
)
from metaplax.networks.slow_parts import FastReadout, TemplateBlocks
from metaplax.networks.spiking import Recording, RecurrentLIF, SpikingWeights
from metaplax.networks.surrogates import AbstractSurrogate, FastSigmoid, Triangular

__all__ = [
    "MLP",
    "AbstractActivation",
    "AbstractBatchNetwork",
    "AbstractFront",
    "AbstractReadout",
    "AbstractSurrogate",
    "Activity",
    "Affine",
    "BatchNormLeNet",
    "ConvBlocks",
    "ConvFront",
    "DenseFront",
    "EquinoxNetwork",
    "FastReadout",
    "FastSigmoid",
    "FrontedMLP",
    "FrontedWeights",
    "MeanSquaredError",
    "NoFront",
    "PartialSquaredError",
    "ReLU",
    "Recording",
    "RecurrentLIF",
    "SoftmaxCrossEntropy",
    "Softplus",
    "SpikingWeights",
    "SquaredError",
    "Tanh",
    "TemplateBlocks",
    "Triangular",
    "Weights",
    "convolve",
]
