"""Front layers: what turns a batch of inputs into features before layers that learn online see them."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Num, PyTree

from metaplax.networks.convolution import convolve, output_side

AT_ONCE = 2**22
"""Numbers of which a layer of convolutions may hold copies at the same time, about as many as caches hold."""


class Affine(eqx.Module):
    """Weights and biases of one layer; convolutions have shape ``(rows, columns, in, out)``, others ``(out, in)``."""

    weight: Float[Array, "..."]
    bias: Float[Array, " out"]


class AbstractEncoder(eqx.Module):
    """A map from inputs of shape ``shape`` to ``features`` numbers; whoever calls it holds the weights."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of one input."""

    @property
    @abstractmethod
    def features(self) -> int:
        """How many numbers come out."""

    @abstractmethod
    def init(self, key: Key[Array, ""]) -> PyTree:
        """Draw the weights."""

    @abstractmethod
    def __call__(self, weights: PyTree, x: Num[Array, "batch ..."]) -> Float[Array, "batch features"]:
        """Features of a batch."""


class NoEncoder(AbstractEncoder):
    """Inputs are features already.

    Args:
        inputs: shape of one input; it is flattened.
    """

    inputs: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inputs

    @property
    def features(self) -> int:
        count = 1
        for size in self.inputs:
            count *= size
        return count

    def init(self, key: Key[Array, ""]) -> PyTree:
        del key
        return ()

    def __call__(self, weights: PyTree, x: Num[Array, "batch ..."]) -> Float[Array, "batch features"]:
        del weights
        return x.reshape(len(x), self.features)


class DenseEncoder(AbstractEncoder):
    """Fully connected layers with biases and ReLU.

    Args:
        sizes: of the layers, input first.

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
        side: of the images.
        channels_in: of the images: 1 if they are grey and have no axis of channels, or 3.
        channels: of every layer.
        strides: of the layers.

        most_at_once: images that are taken at the same time on an accelerator.

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
        """Width of what every layer sees, and of what comes out."""
        found = [self.side]
        for stride in self.strides:
            found.append(output_side(found[-1], 3, stride))
        return tuple(found)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.side, self.side) if self.channels_in == 1 else (self.side, self.side, self.channels_in)

    @property
    def at_once(self) -> int:
        """Images that are taken at the same time: on a CPU few, so that what is copied of them stays in cache."""
        if jax.default_backend() != "cpu":
            return self.most_at_once
        inputs = [self.channels_in, *[self.channels] * (len(self.strides) - 1)]
        most = max(9 * count * side**2 for count, side in zip(inputs, self.sides[1:], strict=True))
        return max(1, AT_ONCE // most)

    @property
    def features(self) -> int:
        return self.channels * self.sides[-1] ** 2

    def init(self, key: Key[Array, ""]) -> tuple[Affine, ...]:
        inputs = [self.channels_in, *[self.channels] * (len(self.strides) - 1)]
        keys = jax.random.split(key, len(self.strides))
        shapes = [(3, 3, count, self.channels) for count in inputs]
        return tuple(Affine(kaiming_normal(k, s, 9 * s[2]), jnp.zeros(s[3])) for k, s in zip(keys, shapes, strict=True))

    def __call__(self, weights: PyTree, x: Num[Array, "batch ..."]) -> Float[Array, "batch features"]:
        size = self.at_once
        if len(x) <= size:
            return self._batch(weights, x)
        whole = len(x) // size * size
        parts = jax.lax.map(lambda x: self._batch(weights, x), x[:whole].reshape(-1, size, *x.shape[1:]))
        parts = parts.reshape(whole, -1)
        return jnp.concatenate([parts, self._batch(weights, x[whole:])]) if whole < len(x) else parts

    def _batch(self, weights: PyTree, x: Num[Array, "batch ..."]) -> Float[Array, "batch features"]:
        y = x.reshape(*x.shape[:3], self.channels_in)
        for layer, stride in zip(weights, self.strides, strict=True):
            y = jax.nn.relu(convolve(y, layer.weight, stride) + layer.bias[None, None, None])
        return y.reshape(len(y), -1)


def kaiming_normal(key: Key[Array, ""], shape: tuple[int, ...], fan_in: int) -> Float[Array, "..."]:
    """Normal numbers of standard deviation ``sqrt(2 / fan_in)`` (He et al., 2015)."""
    return jax.random.normal(key, shape) * (2 / fan_in) ** 0.5


def dense_layers(key: Key[Array, ""], sizes: tuple[int, ...]) -> tuple[Affine, ...]:
    """Fully connected layers with Kaiming normal weights and no bias yet."""
    keys = jax.random.split(key, len(sizes) - 1)
    shapes = zip(sizes[1:], sizes[:-1], strict=True)
    return tuple(
        Affine(kaiming_normal(k, shape, shape[1]), jnp.zeros(shape[0])) for k, shape in zip(keys, shapes, strict=True)
    )
