"""A small convolutional network with batch normalisation, laid out for loops on a CPU."""

from functools import reduce

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.networks.batch_norm import EPSILON, Layer, Normalised
from metaplax.networks.functional import AbstractFunctionalNetwork

MOMENTUM = 0.1
"""Share of a batch in the running statistics."""

AT_ONCE = 500
"""Examples that are computed together when statistics are given."""


class Statistics(eqx.Module):
    """Running mean and variance of every feature of one layer."""

    mean: Float[Array, " out"]
    variance: Float[Array, " out"]


class BatchNormLeNet(AbstractFunctionalNetwork):
    """Two convolutions of 5x5 and two hidden layers, each with batch normalisation and ReLU, and a linear readout.

    Convolutions are not padded and are followed by max-pooling of 2x2. Weights and biases are uniform in
    ``+-1 / sqrt(fan in)``. Inputs have shape ``(batch, side, side, channels_in)``.

    Args:
        side: of the images, such that both poolings come out even.
        channels_in: of the images.
        channels: of the two convolutions.
        hidden: of the two hidden layers.
        outputs: of the readout.

    Raises:
        ValueError: the side does not come out even.

    Source: Zucchet et al. (2022), section 5.1; LeCun et al. (1998); Ioffe & Szegedy (2015).
    """

    side: int = 32
    channels_in: int = 3
    channels: tuple[int, int] = (6, 16)
    hidden: tuple[int, int] = (120, 84)
    outputs: int = 10

    def __check_init__(self):
        if (self.side - 4) % 2 or ((self.side - 4) // 2 - 4) % 2 or self.side < 16:
            raise ValueError(f"images of side {self.side} do not come out even: 16, 20, ... 28, 32 do")

    def init(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        left = ((self.side - 4) // 2 - 4) // 2
        first, second = self.channels
        shapes = (
            (5, 5, self.channels_in, first),
            (5, 5, first, second),
            (left * left * second, self.hidden[0]),
            self.hidden,
            (self.hidden[1], self.outputs),
        )
        layers = [_layer(k, shape) for k, shape in zip(jax.random.split(key, len(shapes)), shapes, strict=True)]
        weights = (
            *(Normalised(layer, jnp.ones_like(layer.bias), jnp.zeros_like(layer.bias)) for layer in layers[:-1]),
            layers[-1],
        )
        buffers = tuple(Statistics(jnp.zeros_like(layer.bias), jnp.ones_like(layer.bias)) for layer in layers[:-1])
        return weights, buffers

    def __call__(
        self, weights: PyTree, buffers: PyTree, x: Float[Array, "batch side side channels"], training: bool
    ) -> tuple[Float[Array, "batch out"], PyTree]:
        if training or len(x) <= AT_ONCE:
            return self._batch(weights, buffers, x, training)

        def outputs(x: Float[Array, "batch side side channels"]) -> Float[Array, "batch out"]:
            return self._batch(weights, buffers, x, training=False)[0]

        # The activity of a whole data set would not fit.
        whole = len(x) // AT_ONCE * AT_ONCE
        parts = jax.lax.map(outputs, x[:whole].reshape(-1, AT_ONCE, *x.shape[1:])).reshape(whole, -1)
        return jnp.concatenate([parts, outputs(x[whole:])]) if whole < len(x) else parts, buffers

    def _batch(
        self, weights: PyTree, buffers: PyTree, x: Float[Array, "batch side side channels"], training: bool
    ) -> tuple[Float[Array, "batch out"], PyTree]:
        seen = []

        def normalise(y: Float[Array, "window out ..."], part: Normalised) -> Float[Array, "out ..."]:
            y, statistics = _normalised_maximum(y, part, buffers[len(seen)], training)
            seen.append(statistics)
            return y

        y = _batch_last(x)
        for part in weights[:2]:
            y = jax.nn.relu(normalise(_windows(y, part.layer), part))
        y = y.reshape(-1, y.shape[-1])
        for part in weights[2:4]:
            preactivation = part.layer.weight.T @ y + part.layer.bias[:, None]
            y = jax.nn.relu(normalise(preactivation[None], part))
        readout = weights[4]
        return y.T @ readout.weight + readout.bias[None], tuple(seen)


def _layer(key: Key[Array, ""], shape: tuple[int, ...]) -> Layer:
    fan_in = 1
    for size in shape[:-1]:
        fan_in *= size
    numbers = jax.random.uniform(key, (fan_in + 1, shape[-1]), jnp.result_type(float), -1, 1) / fan_in**0.5
    return Layer(numbers[:-1].reshape(shape), numbers[-1])


def _batch_last(x: Float[Array, "batch height width c"]) -> Float[Array, "c height width batch"]:
    """The same images with the batch as the last axis: elementwise work then runs over long, contiguous vectors."""
    # In a loop, so that XLA moves every pixel once, and not once for each patch that it is in.
    channels = jnp.arange(x.shape[-1])
    return jax.lax.map(lambda channel: jnp.transpose(jnp.take(x, channel, axis=-1), (1, 2, 0)), channels)


def _windows(x: Float[Array, "c height width batch"], layer: Layer) -> Float[Array, "window o h w batch"]:
    """A convolution without padding, whose first axis counts the outputs in every window of 2x2.

    All outputs of a window are computed from one patch, which is a row and a column larger than the kernel: that
    takes fewer copies of a pixel than a patch for each output. Inside loops XLA's own convolution is many times slower
    on a CPU.
    """
    rows, columns, _, out = layer.weight.shape
    height, width, batch = (x.shape[1] - rows + 1) // 2, (x.shape[2] - columns + 1) // 2, x.shape[3]
    offsets = [(row, column) for row in range(rows + 1) for column in range(columns + 1)]
    patches = jnp.concatenate([x[:, i : i + 2 * height - 1 : 2, j : j + 2 * width - 1 : 2] for i, j in offsets])
    kernel = jnp.transpose(layer.weight, (3, 0, 1, 2))
    kernels = [jnp.pad(kernel, ((0, 0), (i, 1 - i), (j, 1 - j), (0, 0))) for i in (0, 1) for j in (0, 1)]
    y = jnp.stack(kernels).reshape(4 * out, -1) @ patches.reshape(len(patches), -1)
    return y.reshape(4, out, height, width, batch) + layer.bias[None, :, None, None, None]


def _normalised_maximum(
    y: Float[Array, "window out ..."], part: Normalised, statistics: Statistics, training: bool
) -> tuple[Float[Array, "out ..."], Statistics]:
    """The largest number of every window after normalisation.

    By the statistics of this batch, which the running ones then move towards; or by the running ones.
    """
    mean, variance = statistics.mean, statistics.variance
    if training:
        axes = (0, *range(2, y.ndim))
        mean = jnp.mean(y, axes)
        variance = jnp.mean((y - _over(mean, y[0])[None]) ** 2, axes)
        seen = y.size // y.shape[1]
        unbiased = variance * (seen / max(seen - 1, 1))
        statistics = jax.lax.stop_gradient(
            Statistics(
                (1 - MOMENTUM) * statistics.mean + MOMENTUM * mean,
                (1 - MOMENTUM) * statistics.variance + MOMENTUM * unbiased,
            )
        )
    # Which one is largest can be told before normalising, which is then done for that one only.
    sign = _over(jnp.where(part.scale < 0, -1.0, 1.0).astype(y.dtype), y[0])
    largest = sign * reduce(jnp.maximum, sign[None] * y)
    gain = part.scale * jax.lax.rsqrt(variance + EPSILON)
    return (largest - _over(mean, largest)) * _over(gain, largest) + _over(part.shift, largest), statistics


def _over(vector: Float[Array, " out"], like: Float[Array, "out ..."]) -> Float[Array, "out ..."]:
    return vector.reshape(-1, *(1,) * (like.ndim - 1))
