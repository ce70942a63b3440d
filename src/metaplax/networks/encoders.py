"""Encoders, which turn a batch of inputs into features, and the network of fully connected layers behind one."""

from abc import abstractmethod
from math import prod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Num, PyTree

from metaplax.networks._kernels import convolve, output_side
from metaplax.networks.layers import Affine, dense_layers, kaiming_normal, map_chunks
from metaplax.networks.readouts import AbstractReadout

AT_ONCE = 2**22
"""Limit of the numbers in the patches that one convolution copies at a time on a CPU, so that they fit its cache."""


class AbstractEncoder(eqx.Module):
    """A map from inputs of shape ``shape`` to ``features`` numbers; the caller holds the weights."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""

    @property
    @abstractmethod
    def features(self) -> int:
        """Number of features per input."""

    @abstractmethod
    def init(self, key: Key[Array, ""]) -> PyTree:
        """Draw the weights."""

    @abstractmethod
    def __call__(self, weights: PyTree, x: Num[Array, "batch ..."]) -> Float[Array, "batch features"]:
        """Features of a batch of inputs."""

    def of_many(self, weights: PyTree, x: Num[Array, "..."]) -> Float[Array, "... features"]:
        """Features of inputs with any axes in front, such as the steps and minibatches of a stream."""
        leading = x.shape[: x.ndim - len(self.shape)]
        return self(weights, x.reshape(-1, *self.shape)).reshape(*leading, self.features)


class NoEncoder(AbstractEncoder):
    """Uses the inputs themselves, flattened, as features; it has no weights.

    Args:
        inputs: shape of one input.
    """

    inputs: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inputs

    @property
    def features(self) -> int:
        return prod(self.inputs)

    def init(self, key: Key[Array, ""]) -> PyTree:
        return ()

    def __call__(self, weights: PyTree, x: Num[Array, "batch ..."]) -> Float[Array, "batch features"]:
        return x.reshape(len(x), self.features)


class DenseEncoder(AbstractEncoder):
    """Fully connected layers with biases and ReLU.

    Args:
        sizes: number of neurons per layer, input first.

    Raises:
        ValueError: there is no layer, or a size is below one.
    """

    sizes: tuple[int, ...]

    def __check_init__(self):
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ValueError(f"dense encoder layers need at least two sizes of at least 1, not {self.sizes}")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.sizes[:1]

    @property
    def features(self) -> int:
        return self.sizes[-1]

    def init(self, key: Key[Array, ""]) -> tuple[Affine, ...]:
        return dense_layers(key, self.sizes)

    def __call__(self, weights: PyTree, x: Num[Array, "batch ..."]) -> Float[Array, "batch features"]:
        for layer in weights:
            x = jax.nn.relu(x @ layer.weight.T + layer.bias[None])
        return x


class ConvEncoder(AbstractEncoder):
    """Convolutions of 3x3 without padding, each with a bias and ReLU.

    Args:
        side: side length of the images, in pixels.
        channels_in: 1 for grey images of shape ``(side, side)``, 3 for colour images of shape ``(side, side, 3)``.
        channels: number of channels of every layer.
        strides: stride of each layer, in pixels; there are as many layers as strides.
        most_at_once: number of images that are computed together on an accelerator.

    Raises:
        ValueError: the images are too small for so many layers, there is no layer, or a stride is below one.

    Source: Lindsey & Litwin-Kumar (2020), code; Javed & White (2019).
    """

    side: int = 28
    channels_in: int = 1
    channels: int = 32
    strides: tuple[int, ...] = (2, 1, 2)
    most_at_once: int = 1024

    def __check_init__(self):
        if not self.strides or min(self.strides) < 1:
            raise ValueError(f"convolutions need strides of at least 1, not {self.strides}")
        if self.sides[-1] < 1:
            raise ValueError(f"images of side {self.side} are too small for {len(self.strides)} convolutions")

    @property
    def sides(self) -> tuple[int, ...]:
        """Side length of the images, and of the output of each layer, in pixels."""
        found = [self.side]
        for stride in self.strides:
            found.append(output_side(found[-1], 3, stride))
        return tuple(found)

    @property
    def inputs(self) -> tuple[int, ...]:
        """Number of input channels of each layer."""
        return (self.channels_in, *[self.channels] * (len(self.strides) - 1))

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.side, self.side) if self.channels_in == 1 else (self.side, self.side, self.channels_in)

    @property
    def at_once(self) -> int:
        """Number of images that are computed together: on a CPU few, so that copied patches stay in the cache."""
        if jax.default_backend() != "cpu":
            return self.most_at_once
        most = max(9 * count * side**2 for count, side in zip(self.inputs, self.sides[1:], strict=True))
        return max(1, AT_ONCE // most)

    @property
    def features(self) -> int:
        return self.channels * self.sides[-1] ** 2

    def init(self, key: Key[Array, ""]) -> tuple[Affine, ...]:
        keys = jax.random.split(key, len(self.strides))
        shapes = [(3, 3, count, self.channels) for count in self.inputs]
        return tuple(Affine(kaiming_normal(k, s, 9 * s[2]), jnp.zeros(s[3])) for k, s in zip(keys, shapes, strict=True))

    def __call__(self, weights: PyTree, x: Num[Array, "batch ..."]) -> Float[Array, "batch features"]:
        return map_chunks(lambda x: self._batch(weights, x), x, self.at_once)

    def _batch(self, weights: PyTree, x: Num[Array, "batch ..."]) -> Float[Array, "batch features"]:
        y = x.reshape(*x.shape[:3], self.channels_in)
        for layer, stride in zip(weights, self.strides, strict=True):
            y = jax.nn.relu(convolve(y, layer.weight, stride) + layer.bias[None, None, None])
        return y.reshape(len(y), -1)


class EncoderWeights(eqx.Module):
    """Weights of the encoder, and weights and biases of the layers behind it."""

    encoder: PyTree
    layers: tuple[Affine, ...]


class EncoderMLP(eqx.Module):
    """An encoder, then fully connected layers with biases: ReLU in hidden layers, linear outputs.

    Args:
        encoder: maps inputs to features.
        sizes: number of neurons of each layer behind the encoder; the last one is the output layer.
        readout: nonlinearity and loss of the output layer.

    Raises:
        ValueError: there is no layer behind the encoder, or a size is below one.

    Source: Lindsey & Litwin-Kumar (2020), section 3, and code.
    """

    encoder: AbstractEncoder
    sizes: tuple[int, ...] = eqx.field(static=True)
    readout: AbstractReadout

    def __check_init__(self):
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError(f"behind the encoder there must be layers of at least one neuron each, not {self.sizes}")

    @property
    def all_sizes(self) -> tuple[int, ...]:
        """Number of features, then of neurons of each layer behind the encoder."""
        return (self.encoder.features, *self.sizes)

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.sizes[-1]

    def init(self, key: Key[Array, ""]) -> EncoderWeights:
        """Draw Kaiming normal weights; biases are zero."""
        encoder_key, layer_key = jax.random.split(key)
        return EncoderWeights(self.encoder.init(encoder_key), dense_layers(layer_key, self.all_sizes))

    def activity(
        self, layers: tuple[Affine, ...], features: Float[Array, "batch features"]
    ) -> tuple[Float[Array, "batch _"], ...]:
        """The features, and the activity of every layer behind the encoder; the last one is the output."""
        y = [features]
        for number, layer in enumerate(layers, start=1):
            preactivation = y[-1] @ layer.weight.T + layer.bias[None]
            y.append(jax.nn.relu(preactivation) if number < len(layers) else preactivation)
        return tuple(y)

    def __call__(self, weights: EncoderWeights, x: Num[Array, "batch ..."]) -> Float[Array, "batch outputs"]:
        """Outputs for a batch of inputs."""
        return self.activity(weights.layers, self.encoder(weights.encoder, x))[-1]
