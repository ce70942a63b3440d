"""Maxima and statistics of a convolution for max-pooling and batch normalisation, computed in the cheapest way."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metaplax.networks._kernels.pooling import pool
from metaplax.networks._kernels.winograd import patches_of_windows, winograd

MANY = 8
"""Number of input channels from which on Winograd's transforms cost less than the multiplications that they save."""


class Pooled(NamedTuple):
    """Maxima and statistics of a convolution.

    Attributes:
        largest: the largest pixel in every window of 2x2.
        mean: mean of all pixels, per channel.
        variance: variance of all pixels, per channel.
    """

    largest: Float[Array, "out h w batch"]
    mean: Float[Array, " out"]
    variance: Float[Array, " out"]


def convolve_and_pool(x: Float[Array, "c height width batch"], kernel: Float[Array, "3 3 c out"]) -> Pooled:
    """A convolution with a border of one pixel of zeros; the last row or column is in no window if it is odd.

    Args:
        x: images, channels first and batch last.
        kernel: weights.
    """
    inputs, height, width, batch = x.shape
    if height % 2 or width % 2:
        return _pooled_pixels(_convolve_batch_last(x, kernel))
    if inputs >= MANY:
        pixels = winograd(x, kernel)
        statistics = _statistics(pixels, channel=1)
    else:
        patches, matrix = patches_of_windows(x), kernel.reshape(9 * inputs, -1).T
        pixels = jnp.stack([matrix @ part for part in patches])
        few = 9 * inputs <= 2 * len(matrix)
        statistics = _statistics_of_products(matrix, patches) if few else _statistics(pixels, channel=1)
    return Pooled(pool(pixels, (0,)).reshape(-1, height // 2, width // 2, batch), *statistics)


def _convolve_batch_last(
    x: Float[Array, "c height width batch"], kernel: Float[Array, "3 3 c out"]
) -> Float[Array, "out height width batch"]:
    """The convolution as patches times one matrix, which copies contiguous vectors only."""
    channels, height, width, batch = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    patches = jnp.stack([x[:, i : i + height, j : j + width] for i in range(3) for j in range(3)])
    matrix = kernel.reshape(9 * channels, -1).T
    return (matrix @ patches.reshape(9 * channels, -1)).reshape(-1, height, width, batch)


def _pooled_pixels(y: Float[Array, "out height width batch"]) -> Pooled:
    out, height, width, batch = y.shape
    cut = y[:, : height // 2 * 2, : width // 2 * 2]
    windows = cut.reshape(out, height // 2, 2, width // 2, 2, batch)
    return Pooled(pool(windows, (2, 4)), *_statistics(y, channel=0))


def _statistics(y: Float[Array, "..."], channel: int) -> tuple[Float[Array, " out"], Float[Array, " out"]]:
    """Mean and variance over all axes but that of the channels."""
    others = tuple(axis for axis in range(y.ndim) if axis != channel)
    mean = jnp.mean(y, others)
    return mean, jnp.mean((y - jnp.expand_dims(mean, others)) ** 2, others)


def _statistics_of_products(
    matrix: Float[Array, "out size"], patches: Float[Array, "4 size pixels"]
) -> tuple[Float[Array, " out"], Float[Array, " out"]]:
    """Mean and variance of ``matrix @ patch`` over all patches, from the mean and covariance of the patches.

    This is cheaper where patches have fewer entries than pixels have channels, because neither the products nor their
    derivatives are read once more.
    """
    # The variance is a small difference of large numbers where neighbouring pixels are alike and a kernel subtracts
    # them, so these products need full precision.
    with jax.default_matmul_precision("highest"):
        mean = jnp.mean(patches, (0, 2))
        around = patches - mean[None, :, None]
        covariance = jnp.einsum("kin,kjn->ij", around, around) / (patches.shape[0] * patches.shape[2])
        variance = jnp.sum((matrix @ covariance) * matrix, axis=1)
        return matrix @ mean, jnp.maximum(variance, 0)
