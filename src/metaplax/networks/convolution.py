"""One convolution for every backend, written the way that is fastest there."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def convolve(
    x: Float[Array, "batch height width c"],
    kernel: Float[Array, "rows columns c out"],
    stride: int = 1,
) -> Float[Array, "batch h w out"]:
    """A convolution.

    On a CPU it is written as shifted slices times a few matrices: inside of loops the
    gradient of XLA's own convolution is fifteen times slower, and outside of them no faster. Elsewhere it is XLA's own.

    Args:
        x: images, channels last.
        kernel: weights.
        stride: pixels between two outputs, in both directions.
    """
    return jax.lax.platform_dependent(
        x, kernel, cpu=lambda x, kernel: _of_slices(x, kernel, stride), default=lambda x, k: _native(x, k, stride)
    )


def convolve_batch_last(
    x: Float[Array, "c height width batch"], kernel: Float[Array, "rows columns c out"], border: int = 0
) -> Float[Array, "out h w batch"]:
    """A convolution of images that the last axis counts, on every backend the same.

    Whole patches times one matrix: what is copied are contiguous vectors, and what follows sees long ones.

    Args:
        x: images, channels first and batch last.
        kernel: weights.
        border: pixels of zeros around every image.
    """
    rows, columns, channels, out = kernel.shape
    x = jnp.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
    height, width = output_side(x.shape[1], rows), output_side(x.shape[2], columns)
    patches = jnp.stack([x[:, i : i + height, j : j + width] for i in range(rows) for j in range(columns)])
    size = rows * columns * channels
    return (kernel.reshape(size, out).T @ patches.reshape(size, -1)).reshape(out, height, width, x.shape[3])


def output_side(side: int, kernel: int, stride: int = 1) -> int:
    """Width of what :func:`convolve` makes of images of width ``side``."""
    return (side - kernel) // stride + 1


def _of_slices(
    x: Float[Array, "batch height width c"], kernel: Float[Array, "rows columns c out"], stride: int
) -> Float[Array, "batch h w out"]:
    rows, columns, channels, out = kernel.shape
    batch, height, width = len(x), *(output_side(x.shape[axis], kernel.shape[axis - 1], stride) for axis in (1, 2))
    # Shifted along one axis the slices are put side by side, along the other their products are added: a third of the
    # memory of whole patches, and faster by a third where images are small.
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
