"""The convolutional network of few-shot learning: blocks of convolution, batch normalisation, ReLU and pooling."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.networks._kernels import convolve_and_pool
from metaplax.networks.functional import AbstractFunctionalNetwork, Inputs, Outputs
from metaplax.networks.layers import EPSILON, Affine


class Block(eqx.Module):
    """Weights of one block; the kernel has shape ``(rows, columns, in, out)``.

    The convolution has no bias, because batch normalisation would subtract it again.
    """

    kernel: Float[Array, "3 3 in out"]
    scale: Float[Array, " out"]
    shift: Float[Array, " out"]


class ConvBlocks(AbstractFunctionalNetwork):
    """Blocks of a convolution of 3x3 with a border, batch normalisation, ReLU and max-pooling of 2x2; a linear readout.

    Statistics are always those of the batch, also in evaluation, so that the output for one image depends on the
    others. Kernels are drawn from the uniform distribution of He et al. (2015). Inputs have shape
    ``(batch, side, side, channels_in)``. Weights are a tuple of one ``Block`` per block and the readout.

    Args:
        side: side length of the images, in pixels.
        channels_in: number of channels of the images.
        channels: number of channels of each block. Pooling leaves each block a quarter of the pixels of the one before
            it, so the channels of the first two cost most of the time.
        outputs: number of outputs.

    Raises:
        ValueError: there is no block, one has no channel, or the images are too small for so many poolings.

    Source: Vinyals et al. (2016); Finn et al. (2017); Zucchet et al. (2022), section 5.3, and code.
    """

    side: int = 28
    channels_in: int = 1
    channels: tuple[int, ...] = (64, 64, 64, 64)
    outputs: int = 5

    def __check_init__(self):
        if not self.channels or min(self.channels) < 1:
            raise ValueError(f"there must be a block, and each must have a channel, but channels are {self.channels}")
        if self.side >> len(self.channels) < 1:
            raise ValueError(f"images of side {self.side} cannot be halved {len(self.channels)} times")

    @property
    def features(self) -> int:
        """Number of inputs of the readout."""
        return self.channels[-1] * (self.side >> len(self.channels)) ** 2

    @property
    def inputs(self) -> tuple[int, ...]:
        """Number of input channels of each block."""
        return (self.channels_in, *self.channels[:-1])

    def init(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        *keys, readout_key = jax.random.split(key, len(self.channels) + 1)
        blocks = tuple(_init_block(k, *sizes) for k, *sizes in zip(keys, self.inputs, self.channels, strict=True))
        bound = (3 / self.features) ** 0.5
        matrix = jax.random.uniform(readout_key, (self.features, self.outputs), minval=-bound, maxval=bound)
        return (*blocks, Affine(matrix, jnp.zeros(self.outputs))), ()

    def __call__(self, weights: PyTree, buffers: PyTree, x: Inputs, training: bool) -> tuple[Outputs, PyTree]:
        *blocks, readout = weights
        y = jnp.transpose(x, (3, 1, 2, 0))
        for block in blocks:
            y = _apply_block(y, block)
        y = jnp.transpose(y, (3, 1, 2, 0))
        return y.reshape(len(y), -1) @ readout.weight + readout.bias[None], buffers


def _init_block(key: Key[Array, ""], inputs: int, outputs: int) -> Block:
    bound = (6 / (9 * inputs)) ** 0.5
    kernel = jax.random.uniform(key, (3, 3, inputs, outputs), minval=-bound, maxval=bound)
    return Block(kernel, jnp.ones(outputs), jnp.zeros(outputs))


def _apply_block(y: Float[Array, "c height width batch"], block: Block) -> Float[Array, "out h w batch"]:
    # With the sign of the scale moved into the kernel, normalising is increasing: the maximum can be taken before it,
    # and only the maxima need be normalised.
    sign = jnp.where(block.scale < 0, -1.0, 1.0).astype(y.dtype)
    largest, mean, variance = convolve_and_pool(y, block.kernel * sign[None, None, None])
    gain = sign * block.scale * jax.lax.rsqrt(variance + EPSILON)
    mean, gain, shift = (vector[:, None, None, None] for vector in (mean, gain, block.shift))
    return jax.nn.relu((largest - mean) * gain + shift)
