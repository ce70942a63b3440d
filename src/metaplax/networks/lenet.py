"""A small convolutional network with batch normalisation, laid out for loops on a CPU."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.networks.batched import AbstractBatchNetwork

MOMENTUM = 0.1
"""Share of a batch in the running statistics."""

EPSILON = 1e-5
AT_ONCE = 500
"""Examples that are computed together when statistics are given."""


class Layer(eqx.Module):
    """Weights of one layer. Kernels have shape ``(row, column, in, out)``, matrices ``(in, out)``."""

    weight: Float[Array, "..."]
    bias: Float[Array, " out"]


class Normalised(eqx.Module):
    """Weights of one layer that is followed by batch normalisation with a learned affine map."""

    layer: Layer
    scale: Float[Array, " out"]
    shift: Float[Array, " out"]


class Statistics(eqx.Module):
    """Running mean and variance of every feature of one layer."""

    mean: Float[Array, " out"]
    variance: Float[Array, " out"]


class BatchNormLeNet(AbstractBatchNetwork):
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

        def one(x: Float[Array, "side side channels"]) -> Float[Array, " out"]:
            return self._batch(weights, buffers, x[None], training=False)[0][0]

        # The activity of a whole data set would not fit.
        return jax.lax.map(one, x, batch_size=AT_ONCE), buffers

    def _batch(
        self, weights: PyTree, buffers: PyTree, x: Float[Array, "batch side side channels"], training: bool
    ) -> tuple[Float[Array, "batch out"], PyTree]:
        seen = []

        def normalise(y: Float[Array, "out ..."], part: Normalised) -> Float[Array, "out ..."]:
            y, statistics = _normalise(y, part, buffers[len(seen)], training)
            seen.append(statistics)
            return y

        # The batch is the last axis: elementwise work and pooling then run over long, contiguous vectors.
        y = jnp.transpose(x, (3, 1, 2, 0))
        for part in weights[:2]:
            y = jax.nn.relu(_pooled(normalise(_convolution(y, part.layer), part)))
        y = y.reshape(-1, y.shape[-1])
        for part in weights[2:4]:
            y = jax.nn.relu(normalise(part.layer.weight.T @ y + part.layer.bias[:, None], part))
        readout = weights[4]
        return y.T @ readout.weight + readout.bias[None], tuple(seen)


def _layer(key: Key[Array, ""], shape: tuple[int, ...]) -> Layer:
    fan_in = 1
    for size in shape[:-1]:
        fan_in *= size
    numbers = jax.random.uniform(key, (fan_in + 1, shape[-1]), jnp.result_type(float), -1, 1) / fan_in**0.5
    return Layer(numbers[:-1].reshape(shape), numbers[-1])


def _convolution(x: Float[Array, "c height width batch"], layer: Layer) -> Float[Array, "o h w batch"]:
    """Without padding, as one matrix product for every row of the kernel.

    Inside loops XLA's own convolution is many times slower on a CPU; collecting whole patches moves more memory.
    """
    rows, columns, _, out = layer.weight.shape
    height, width, batch = x.shape[1] - rows + 1, x.shape[2] - columns + 1, x.shape[3]
    strips = jnp.concatenate([x[:, :, column : column + width] for column in range(columns)])
    kernel = jnp.transpose(layer.weight, (0, 3, 1, 2)).reshape(rows, out, -1)
    y = sum(kernel[row] @ strips[:, row : row + height].reshape(len(strips), -1) for row in range(rows))
    return jnp.reshape(y, (out, height, width, batch)) + layer.bias[:, None, None, None]


def _pooled(x: Float[Array, "c height width batch"]) -> Float[Array, "c h w batch"]:
    channels, height, width, batch = x.shape
    y = x.reshape(channels, height // 2, 2, width // 2, 2, batch)
    return jnp.maximum(jnp.maximum(y[:, :, 0, :, 0], y[:, :, 0, :, 1]), jnp.maximum(y[:, :, 1, :, 0], y[:, :, 1, :, 1]))


def _normalise(
    y: Float[Array, "out ..."], part: Normalised, statistics: Statistics, training: bool
) -> tuple[Float[Array, "out ..."], Statistics]:
    """By the statistics of this batch, which the running ones then move towards; or by the running ones."""
    mean, variance = statistics.mean, statistics.variance
    if training:
        axes = tuple(range(1, y.ndim))
        mean = jnp.mean(y, axes)
        variance = jnp.mean((y - _over(mean, y)) ** 2, axes)
        seen = y.size // y.shape[0]
        unbiased = variance * (seen / max(seen - 1, 1))
        statistics = jax.lax.stop_gradient(
            Statistics(
                (1 - MOMENTUM) * statistics.mean + MOMENTUM * mean,
                (1 - MOMENTUM) * statistics.variance + MOMENTUM * unbiased,
            )
        )
    gain = part.scale * jax.lax.rsqrt(variance + EPSILON)
    return (y - _over(mean, y)) * _over(gain, y) + _over(part.shift, y), statistics


def _over(vector: Float[Array, " out"], like: Float[Array, "out ..."]) -> Float[Array, "out ..."]:
    return vector.reshape(-1, *(1,) * (like.ndim - 1))
