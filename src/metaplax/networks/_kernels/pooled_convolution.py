"""All that batch normalisation and max-pooling need of a convolution, found in the way that costs least."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metaplax.networks._kernels.pooling import pool
from metaplax.networks._kernels.winograd import patches_of_windows, winograd
from metaplax.networks.convolution import convolve_batch_last

MANY = 8
"""From so many channels on Winograd's transforms cost less than the multiplications that they save: with gradient, on
75 images of 28x28, 5.1 against 4.4 CPU-ms with 4 channels, 8.1 against 9.6 with 8."""


class Pooled(NamedTuple):
    """A convolution, pooled.

    Attributes:
        largest: pixel in every window of 2x2.
        mean: of all pixels, per channel.
        variance: of all pixels, per channel.
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
        return _of_pixels(convolve_batch_last(x, kernel, border=1))
    if inputs >= MANY:
        pixels = winograd(x, kernel)
        statistics = _statistics(pixels, channel=1)
    else:
        patches, matrix = patches_of_windows(x), kernel.reshape(9 * inputs, -1).T
        pixels = jnp.stack([matrix @ place for place in patches])
        few = 9 * inputs <= 2 * len(matrix)
        statistics = _statistics_of_products(matrix, patches) if few else _statistics(pixels, channel=1)
    return Pooled(pool(pixels, (0,)).reshape(-1, height // 2, width // 2, batch), *statistics)


def _of_pixels(y: Float[Array, "out height width batch"]) -> Pooled:
    out, height, width, batch = y.shape
    cut = y[:, : height // 2 * 2, : width // 2 * 2]
    windows = cut.reshape(out, height // 2, 2, width // 2, 2, batch)
    return Pooled(pool(windows, (2, 4)), *_statistics(y, channel=0))


def _statistics(y: Float[Array, "..."], channel: int) -> tuple[Float[Array, " out"], Float[Array, " out"]]:
    others = tuple(axis for axis in range(y.ndim) if axis != channel)
    mean = jnp.mean(y, others)
    return mean, jnp.mean((y - jnp.expand_dims(mean, others)) ** 2, others)


def _statistics_of_products(
    matrix: Float[Array, "out size"], patches: Float[Array, "4 size pixels"]
) -> tuple[Float[Array, " out"], Float[Array, " out"]]:
    # Patches have fewer entries than pixels have channels, so that their mean and covariance cost less than a pass over
    # all products; neither these nor their derivatives are then read once more. A variance is a small difference where
    # neighbouring pixels are alike and a kernel subtracts them, so that multiplications are not rounded further.
    with jax.default_matmul_precision("highest"):
        mean = jnp.mean(patches, (0, 2))
        around = patches - mean[None, :, None]
        covariance = jnp.einsum("kin,kjn->ij", around, around) / (patches.shape[0] * patches.shape[2])
        variance = jnp.sum((matrix @ covariance) * matrix, axis=1)
        return matrix @ mean, jnp.maximum(variance, 0)
