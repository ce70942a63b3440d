"""Networks: they compute the activity that plasticity rules and learners work with."""

from metaplax.networks._kernels import convolve
from metaplax.networks.activations import AbstractActivation, ReLU, Softplus, Tanh
from metaplax.networks.conv_blocks import ConvBlocks
from metaplax.networks.encoders import AbstractEncoder, ConvEncoder, DenseEncoder, EncoderMLP, EncoderWeights, NoEncoder
from metaplax.networks.functional import AbstractFunctionalNetwork, EquinoxNetwork
from metaplax.networks.layers import Affine
from metaplax.networks.lenet import BatchNormLeNet
from metaplax.networks.mlp import MLP, Activity, Weights
from metaplax.networks.partial_adaptation import FastReadout, TemplateBlocks
from metaplax.networks.readouts import (
    AbstractReadout,
    MeanSquaredError,
    PartialSquaredError,
    SoftmaxCrossEntropy,
    SquaredError,
)
from metaplax.networks.recurrent_lif import (
    AbstractSurrogate,
    FastSigmoid,
    Recording,
    RecurrentLIF,
    SpikingWeights,
    Triangular,
)

__all__ = [
    "MLP", "AbstractActivation", "AbstractEncoder", "AbstractFunctionalNetwork", "AbstractReadout", "AbstractSurrogate",
    "Activity", "Affine", "BatchNormLeNet", "ConvBlocks", "ConvEncoder", "DenseEncoder", "EncoderMLP", "EncoderWeights",
    "EquinoxNetwork", "FastReadout", "FastSigmoid", "MeanSquaredError", "NoEncoder", "PartialSquaredError", "ReLU",
    "Recording", "RecurrentLIF", "SoftmaxCrossEntropy", "Softplus", "SpikingWeights", "SquaredError", "Tanh",
    "TemplateBlocks", "Triangular", "Weights", "convolve",
]  # fmt: skip
