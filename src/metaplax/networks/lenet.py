"""A small convolutional network with batch normalisation, laid out for loops on a CPU."""

from functools import reduce
from math import prod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.networks.functional import AbstractFunctionalNetwork, Inputs, Outputs
from metaplax.networks.layers import EPSILON, Affine, map_chunks

MOMENTUM = 0.1
"""Weight of a new batch in the running statistics."""

AT_ONCE = 500
"""Number of examples that are computed together when running statistics are used, to save memory."""


class NormalisedAffine(eqx.Module):
    """Weights of one layer that is followed by batch normalisation with a learned scale and shift."""

    layer: Affine
    scale: Float[Array, " out"]
    shift: Float[Array, " out"]


class Statistics(eqx.Module):
    """Running mean and variance of every feature of one layer."""

    mean: Float[Array, " out"]
    variance: Float[Array, " out"]


class BatchNormLeNet(AbstractFunctionalNetwork):
    """Two convolutions of 5x5 and two hidden layers, each with batch normalisation and ReLU, and a linear readout.

    Convolutions are not padded and are followed by max-pooling of 2x2. Weights and biases are uniform in
    ``+-1 / sqrt(fan in)``. Inputs have shape ``(batch, side, side, channels_in)``.

    Args:
        side: side length of the images, in pixels, such that both poolings come out even.
        channels_in: number of channels of the images.
        channels: number of channels of the two convolutions.
        hidden: number of neurons of the two hidden layers.
        outputs: number of outputs.

    Raises:
        ValueError: a pooling does not come out even.

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
        pooled = ((self.side - 4) // 2 - 4) // 2
        first, second = self.channels
        shapes = (
            (5, 5, self.channels_in, first),
            (5, 5, first, second),
            (pooled * pooled * second, self.hidden[0]),
            self.hidden,
            (self.hidden[1], self.outputs),
        )
        keys = jax.random.split(key, len(shapes))
        *layers, readout = (_init_layer(k, shape) for k, shape in zip(keys, shapes, strict=True))
        parts = (NormalisedAffine(layer, jnp.ones_like(layer.bias), jnp.zeros_like(layer.bias)) for layer in layers)
        buffers = tuple(Statistics(jnp.zeros_like(layer.bias), jnp.ones_like(layer.bias)) for layer in layers)
        return (*parts, readout), buffers

    def __call__(self, weights: PyTree, buffers: PyTree, x: Inputs, training: bool) -> tuple[Outputs, PyTree]:
        if training:
            return self._batch(weights, buffers, x, training)
        return map_chunks(lambda x: self._batch(weights, buffers, x, training)[0], x, AT_ONCE), buffers

    def _batch(self, weights: PyTree, buffers: PyTree, x: Inputs, training: bool) -> tuple[Outputs, PyTree]:
        *parts, readout = weights
        y, after = _batch_last(x), []
        for part, statistics in zip(parts, buffers, strict=True):
            if part.layer.weight.ndim == 2:  # A fully connected layer: every window holds one neuron.
                windows = (part.layer.weight.T @ y.reshape(-1, len(x)) + part.layer.bias[:, None])[None]
            else:
                windows = _convolve_windows(y, part.layer)
            largest, statistics = _normalise_and_pool(windows, part, statistics, training)
            y = jax.nn.relu(largest)
            after.append(statistics)
        return y.T @ readout.weight + readout.bias[None], tuple(after)


def _init_layer(key: Key[Array, ""], shape: tuple[int, ...]) -> Affine:
    fan_in = prod(shape[:-1])
    numbers = jax.random.uniform(key, (fan_in + 1, shape[-1]), jnp.result_type(float), -1, 1) / fan_in**0.5
    return Affine(numbers[:-1].reshape(shape), numbers[-1])


def _batch_last(x: Float[Array, "batch height width c"]) -> Float[Array, "c height width batch"]:
    """The same images with the batch as the last axis: elementwise work then runs over long, contiguous vectors."""
    # In a loop, so that XLA moves every pixel once, and not once for each patch that contains it.
    channels = jnp.arange(x.shape[-1])
    return jax.lax.map(lambda channel: jnp.transpose(jnp.take(x, channel, axis=-1), (1, 2, 0)), channels)


def _convolve_windows(x: Float[Array, "c height width batch"], layer: Affine) -> Float[Array, "window o h w batch"]:
    """A convolution without padding; the first axis counts the four positions in every window of 2x2 outputs.

    All outputs of a window are computed from one patch, a row and a column larger than the kernel: this copies each
    pixel fewer times than one patch per output. XLA's own convolution is slow inside loops on a CPU.
    """
    rows, columns, _, out = layer.weight.shape
    height, width, batch = (x.shape[1] - rows + 1) // 2, (x.shape[2] - columns + 1) // 2, x.shape[3]
    offsets = [(row, column) for row in range(rows + 1) for column in range(columns + 1)]
    patches = jnp.concatenate([x[:, i : i + 2 * height - 1 : 2, j : j + 2 * width - 1 : 2] for i, j in offsets])
    kernel = jnp.transpose(layer.weight, (3, 0, 1, 2))
    kernels = [jnp.pad(kernel, ((0, 0), (i, 1 - i), (j, 1 - j), (0, 0))) for i in (0, 1) for j in (0, 1)]
    y = jnp.stack(kernels).reshape(4 * out, -1) @ patches.reshape(len(patches), -1)
    return y.reshape(4, out, height, width, batch) + layer.bias[None, :, None, None, None]


def _normalise_and_pool(
    y: Float[Array, "window out ..."], part: NormalisedAffine, statistics: Statistics, training: bool
) -> tuple[Float[Array, "out ..."], Statistics]:
    """The maximum over each window after batch normalisation, and the running statistics after this batch.

    In training, normalises by the statistics of the batch and updates the running ones; otherwise by the running ones.
    """
    mean, variance = statistics.mean, statistics.variance
    if training:
        axes = (0, *range(2, y.ndim))
        mean = jnp.mean(y, axes)
        variance = jnp.mean((y - _over(mean, y[0])[None]) ** 2, axes)
        count = y.size // y.shape[1]
        unbiased = variance * (count / max(count - 1, 1))
        batch = Statistics(mean, unbiased)
        moved = jax.tree.map(lambda old, new: (1 - MOMENTUM) * old + MOMENTUM * new, statistics, batch)
        statistics = jax.lax.stop_gradient(moved)
    # Normalising is monotone, so the maximum is taken before it and only the maxima are normalised.
    sign = _over(jnp.where(part.scale < 0, -1.0, 1.0).astype(y.dtype), y[0])
    largest = sign * reduce(jnp.maximum, sign[None] * y)
    gain = part.scale * jax.lax.rsqrt(variance + EPSILON)
    return (largest - _over(mean, largest)) * _over(gain, largest) + _over(part.shift, largest), statistics


def _over(vector: Float[Array, " out"], like: Float[Array, "out ..."]) -> Float[Array, "out ..."]:
    """The vector with as many trailing axes of length one as it needs to be combined with ``like``."""
    return vector.reshape(-1, *(1,) * (like.ndim - 1))
