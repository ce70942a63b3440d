"""Networks: they compute the activity that plasticity rules and learners work with."""

from metaplax.networks import constraints
from metaplax.networks._kernels import convolve
from metaplax.networks.activations import AbstractActivation, Heaviside, ReLU, Sigmoid, Softplus, Tanh
from metaplax.networks.conv_blocks import ConvBlocks
from metaplax.networks.encoded import Encoded
from metaplax.networks.encoders import AbstractEncoder, ConvEncoder, DenseEncoder, EncoderMLP, EncoderWeights, NoEncoder
from metaplax.networks.functional import AbstractFunctionalNetwork, EquinoxNetwork, PlasticFunction
from metaplax.networks.layers import Affine
from metaplax.networks.lenet import BatchNormLeNet
from metaplax.networks.mlp import MLP
from metaplax.networks.neurons import AbstractNeurons, Instant, Leaky, Spiking
from metaplax.networks.partial_adaptation import FastReadout, TemplateBlocks
from metaplax.networks.populations import (
    AbstractPlasticNetwork,
    Activity,
    Connection,
    Dynamics,
    Population,
    Weights,
)
from metaplax.networks.rate_network import RateNetwork
from metaplax.networks.readouts import (
    AbstractReadout,
    BinaryCrossEntropy,
    MeanSquaredError,
    PartialSquaredError,
    RecordedActivity,
    SoftmaxCrossEntropy,
    SquaredError,
    TargetLevels,
)
from metaplax.networks.recurrent_lif import (
    AbstractSurrogate,
    FastSigmoid,
    Recording,
    RecurrentLIF,
    SpikingWeights,
    Triangular,
)
from metaplax.networks.sequential import LIF, Conv, Dense, Layer, LeakyReadout, Local, Recurrent, Sequential
from metaplax.networks.wiring import AbstractWiring, Convolution, Full, LocallyConnected, Perturbed, Summed

__all__ = [
    "LIF", "MLP", "AbstractActivation", "AbstractEncoder", "AbstractFunctionalNetwork", "AbstractNeurons",
    "AbstractPlasticNetwork", "AbstractReadout", "AbstractSurrogate", "AbstractWiring", "Activity", "Affine",
    "BatchNormLeNet", "BinaryCrossEntropy", "Connection", "Conv", "ConvBlocks", "ConvEncoder", "Convolution", "Dense",
    "DenseEncoder", "Dynamics", "Encoded", "EncoderMLP", "EncoderWeights", "EquinoxNetwork", "FastReadout",
    "FastSigmoid", "Full", "Heaviside", "Instant", "Layer", "Leaky", "LeakyReadout", "Local", "LocallyConnected",
    "MeanSquaredError", "NoEncoder", "PartialSquaredError", "Perturbed", "PlasticFunction", "Population", "RateNetwork",
    "ReLU", "RecordedActivity", "Recording", "Recurrent", "RecurrentLIF", "Sequential", "Sigmoid",
    "SoftmaxCrossEntropy", "Softplus", "Spiking", "SpikingWeights", "SquaredError", "Summed", "Tanh", "TargetLevels",
    "TemplateBlocks", "Triangular", "Weights", "constraints", "convolve",
]  # fmt: skip
