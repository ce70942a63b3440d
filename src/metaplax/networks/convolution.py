"""One convolution for every backend, written in the way that is fastest there."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


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
