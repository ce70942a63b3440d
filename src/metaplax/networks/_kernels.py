"""Convolutions, written in the way that is fastest on a CPU, inside loops too.

Besides the plain one there is one that gives what max-pooling and batch normalisation need: maxima and statistics.
"""

from collections.abc import Sequence
from functools import partial, reduce
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

MANY = 8
"""Number of input channels from which on Winograd's transforms cost less than the multiplications that they save."""

# F(2x2, 3x3) of Lavin & Gray (2016), Fast algorithms for convolutional neural networks, section 4.1.
KERNEL_TRANSFORM = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2
IMAGE_TRANSFORM = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
PRODUCT_TRANSFORM = ((1, 1, 1, 0), (0, 1, -1, -1))


def convolve(
    x: Float[Array, "batch height width c"], kernel: Float[Array, "rows columns c out"], stride: int = 1
) -> Float[Array, "batch h w out"]:
    """A convolution without padding.

    On a CPU it is written as shifted slices times a few matrices, because the gradient of XLA's own convolution is slow
    inside loops there. On other backends it is XLA's own.

    Args:
        x: images, channels last.
        kernel: weights.
        stride: step between two output pixels in both directions, in input pixels.
    """
    return jax.lax.platform_dependent(
        x, kernel, cpu=lambda x, kernel: _of_slices(x, kernel, stride), default=lambda x, k: _native(x, k, stride)
    )


def output_side(side: int, kernel: int, stride: int = 1) -> int:
    """Side length of the output of ``convolve``, given those of the images and of the kernel, in pixels."""
    return (side - kernel) // stride + 1


def _of_slices(
    x: Float[Array, "batch height width c"], kernel: Float[Array, "rows columns c out"], stride: int
) -> Float[Array, "batch h w out"]:
    rows, columns, channels, out = kernel.shape
    batch, height, width = len(x), *(output_side(x.shape[axis], kernel.shape[axis - 1], stride) for axis in (1, 2))
    # Slices shifted along one axis are concatenated, and the products of those shifted along the other one are added:
    # this takes less memory than patches that hold every pixel under the kernel.
    across = [x[:, :, j : j + stride * (width - 1) + 1 : stride] for j in range(columns)]
    strips = jnp.concatenate(across, axis=-1)
    products = [
        strips[:, i : i + stride * (height - 1) + 1 : stride].reshape(-1, columns * channels)
        @ kernel[i].reshape(-1, out)
        for i in range(rows)
    ]
    return sum(products[1:], start=products[0]).reshape(batch, height, width, out)


def _native(
    x: Float[Array, "batch height width c"], kernel: Float[Array, "rows columns c out"], stride: int
) -> Float[Array, "batch h w out"]:
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), "VALID", dimension_numbers=layout)


class Pooled(NamedTuple):
    """The largest pixel in every window of 2x2 of a convolution; mean and variance of all its pixels, per channel."""

    largest: Float[Array, "out h w batch"]
    mean: Float[Array, " out"]
    variance: Float[Array, " out"]


def convolve_and_pool(x: Float[Array, "c height width batch"], kernel: Float[Array, "3 3 c out"]) -> Pooled:
    """A convolution with a border of one pixel of zeros; the last row or column is in no window if it is odd."""
    inputs, height, width, batch = x.shape
    if height % 2 or width % 2:
        return _of_odd_size(x, kernel)
    if inputs >= MANY:
        pixels = winograd(x, kernel)
        statistics = _statistics(pixels, channel=1)
    else:
        patches, matrix = patches_of_windows(x), kernel.reshape(9 * inputs, -1).T
        pixels = jnp.stack([matrix @ part for part in patches])
        few = 9 * inputs <= 2 * len(matrix)
        statistics = _statistics_of_products(matrix, patches) if few else _statistics(pixels, channel=1)
    return Pooled(pool(pixels, (0,)).reshape(-1, height // 2, width // 2, batch), *statistics)


def _of_odd_size(x: Float[Array, "c height width batch"], kernel: Float[Array, "3 3 c out"]) -> Pooled:
    """The convolution as patches times one matrix, which copies contiguous vectors only."""
    channels, height, width, batch = x.shape
    x = _bordered(x)
    patches = jnp.stack([x[:, i : i + height, j : j + width] for i in range(3) for j in range(3)])
    matrix = kernel.reshape(9 * channels, -1).T
    y = (matrix @ patches.reshape(9 * channels, -1)).reshape(-1, height, width, batch)
    windows = y[:, : height // 2 * 2, : width // 2 * 2].reshape(len(y), height // 2, 2, width // 2, 2, batch)
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


def patches_of_windows(x: Float[Array, "c height width batch"]) -> Float[Array, "4 size pixels"]:
    """Patches of 3x3 pixels of images with a border of one pixel of zeros, sorted by position in windows of 2x2.

    For each position in a window, row by row, the patch around that pixel in every window of every image: windows row
    by row, the batch counting fastest. Entries of a patch are sorted by row, column and channel. Height and width of
    the images are even.
    """
    rows = [_every_other(row, 2) for row in _every_other(_bordered(x), 1)]
    positions = [[rows[p + i][q + j] for i in range(3) for j in range(3)] for p in (0, 1) for q in (0, 1)]
    return jnp.stack([jnp.stack(shifted).reshape(9 * len(x), -1) for shifted in positions])


def winograd(
    x: Float[Array, "c height width batch"], kernel: Float[Array, "3 3 c out"]
) -> Float[Array, "4 out pixels"]:
    """A convolution with a border of one pixel of zeros, sorted as the patches of ``patches_of_windows`` are."""
    # Arrays are cut by reshaping and splitting, whose transposes concatenate; the transpose of a strided slice would
    # add arrays that are mostly zeros.
    inputs, outputs = kernel.shape[2:]
    rows = jnp.stack(_combined(IMAGE_TRANSFORM, _every_other(_bordered(x), 1)))
    tiles = jnp.stack(_combined(IMAGE_TRANSFORM, _every_other(rows, 3))).reshape(16, inputs, -1)
    transform = KERNEL_TRANSFORM.astype(kernel.dtype)
    kernels = jnp.einsum("ai,bj,ijco->baoc", transform, transform, kernel).reshape(16, outputs, inputs)
    products = jnp.matmul(kernels, tiles).reshape(4, 4, outputs, -1)
    across = jnp.stack(_combined(PRODUCT_TRANSFORM, _unstack(products)), axis=1)
    return jnp.stack(_combined(PRODUCT_TRANSFORM, _unstack(across))).reshape(4, outputs, -1)


def _bordered(x: Float[Array, "c height width batch"]) -> Float[Array, "c h w batch"]:
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


def _every_other(x: Float[Array, "..."], axis: int) -> list[Float[Array, "..."]]:
    """Every other entry along an axis, from the first, second, third and fourth on."""
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    half = x.shape[axis] // 2
    even, odd = (
        part.reshape(*before, half, *after)
        for part in jax.lax.split(x.reshape(*before, half, 2, *after), (1, 1), axis + 1)
    )
    return [jax.lax.slice_in_dim(part, k, half - 1 + k, axis=axis) for k in (0, 1) for part in (even, odd)]


def _unstack(x: Float[Array, "4 *rest"]) -> list[Float[Array, "*rest"]]:
    return [part.reshape(part.shape[1:]) for part in jax.lax.split(x, (1,) * len(x), 0)]


def _combined(matrix: Sequence[Sequence[int]], parts: Sequence[Array]) -> list[Array]:
    """Sums and differences of arrays, one for each row of ones, zeros and minus ones."""
    return [
        reduce(jnp.add, [entry * part if entry < 0 else part for entry, part in zip(row, parts, strict=True) if entry])
        for row in matrix
    ]


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def pool(windows: Float[Array, "..."], axes: tuple[int, ...]) -> Float[Array, "..."]:
    """The maximum along some axes.

    Where several entries are equally large, the derivative is shared out evenly among them. Axes are not negative and
    in ascending order.
    """
    return reduce(jnp.maximum, _positions(windows, axes))


@pool.defjvp
def _pool_jvp(
    axes: tuple[int, ...], primals: tuple[Float[Array, "..."]], tangents: tuple[Float[Array, "..."]]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    # The transpose of this sum is a broadcast. The transpose of the slices in `_positions` would write each of them
    # into an array of zeros, which takes longer than the rest of a convolutional block.
    (windows,), (changes,) = primals, tangents
    largest = pool(windows, axes)
    chosen = windows == jnp.expand_dims(largest, axes)
    count = sum((entry == largest).astype(windows.dtype) for entry in _positions(windows, axes))
    return largest, jnp.sum(jnp.where(chosen, changes, 0), axis=axes) / count


def _positions(windows: Float[Array, "..."], axes: tuple[int, ...]) -> list[Float[Array, "..."]]:
    """One array for each position within a window."""
    found = []
    for position in product(*(range(windows.shape[axis]) for axis in axes)):
        index = dict(zip(axes, position, strict=True))
        found.append(windows[tuple(index.get(axis, slice(None)) for axis in range(windows.ndim))])
    return found
