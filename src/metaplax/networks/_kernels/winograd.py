"""Convolutions whose output is sorted by position in windows of 2x2, so that pooling takes one pass."""

from collections.abc import Sequence
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# F(2x2, 3x3) of Lavin & Gray (2016), Fast algorithms for convolutional neural networks, section 4.1.
KERNEL_TRANSFORM = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2
IMAGE_TRANSFORM = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
PRODUCT_TRANSFORM = ((1, 1, 1, 0), (0, 1, -1, -1))


def patches_of_windows(x: Float[Array, "c height width batch"]) -> Float[Array, "4 size pixels"]:
    """Patches of 3x3 pixels of images with a border of one pixel of zeros, sorted by position in windows of 2x2.

    Args:
        x: images of even height and width, channels first and batch last.

    Returns:
        For each position in a window, row by row, the patch around that pixel in every window of every image: windows
        row by row, the batch counting fastest. Entries of a patch are sorted by row, column and channel.
    """
    rows = [_every_other(row, 2) for row in _every_other(_bordered(x), 1)]
    positions = [[rows[p + i][q + j] for i in range(3) for j in range(3)] for p in (0, 1) for q in (0, 1)]
    return jnp.stack([jnp.stack(shifted).reshape(9 * len(x), -1) for shifted in positions])


def winograd(
    x: Float[Array, "c height width batch"], kernel: Float[Array, "3 3 c out"]
) -> Float[Array, "4 out pixels"]:
    """A convolution with a border of one pixel of zeros, sorted as the patches of ``patches_of_windows`` are.

    Args:
        x: images of even height and width, channels first and batch last.
        kernel: weights.
    """
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
