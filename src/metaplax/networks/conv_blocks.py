"""The convolutional network of few-shot learning: blocks of convolution, batch normalisation, ReLU and pooling."""

from functools import reduce

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.networks.batched import AbstractBatchNetwork
from metaplax.networks.convolution import convolve, convolve_batch_last
from metaplax.networks.normalised import EPSILON, Layer

FEW = 16
"""Up to so many images the channels are last on a CPU, above that the batch: somewhere between 5 images, where the
former is faster (5.0 against 9.1 CPU-ms per step), and 80, where the latter is (121 against 142)."""


class Block(eqx.Module):
    """Weights of one block; the kernel has shape ``(row, column, in, out)``.

    The convolution has no bias: batch normalisation takes it out again.
    """

    kernel: Float[Array, "3 3 in out"]
    scale: Float[Array, " out"]
    shift: Float[Array, " out"]


class ConvBlocks(AbstractBatchNetwork):
    """Blocks of a convolution of 3x3 with a border, batch normalisation, ReLU and max-pooling of 2x2; a linear readout.

    Statistics are always those of the batch, also when it is scored, so that what is answered for one image depends on
    the others. Kernels are drawn as by He et al. (2015), uniformly. Inputs have shape
    ``(batch, side, side, channels_in)``. The last of the weights are those of the readout.

    Args:
        side: of the images.
        channels_in: of the images.
        channels: of every block.
        blocks: how many.
        outputs: of the readout.

    Raises:
        ValueError: the images are too small for so many poolings.

    Source: Vinyals et al. (2016); Finn et al. (2017); Zucchet et al. (2022), section 5.3, and code.
    """

    side: int = 28
    channels_in: int = 1
    channels: int = 64
    blocks: int = 4
    outputs: int = 5

    def __check_init__(self):
        if self.blocks < 1 or self.side >> self.blocks < 1:
            raise ValueError(f"images of side {self.side} cannot be halved {self.blocks} times")

    @property
    def features(self) -> int:
        """How many numbers the readout sees."""
        return self.channels * (self.side >> self.blocks) ** 2

    @property
    def inputs(self) -> tuple[int, ...]:
        """Channels that each block sees."""
        return (self.channels_in, *(self.channels,) * (self.blocks - 1))

    def init(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        *keys, readout_key = jax.random.split(key, self.blocks + 1)
        ones, zeros = jnp.ones(self.channels), jnp.zeros(self.channels)
        kernels = [_kernel(k, count, self.channels) for k, count in zip(keys, self.inputs, strict=True)]
        bound = (3 / self.features) ** 0.5
        matrix = jax.random.uniform(readout_key, (self.features, self.outputs), minval=-bound, maxval=bound)
        readout = Layer(matrix, jnp.zeros(self.outputs))
        return (*(Block(kernel, ones, zeros) for kernel in kernels), readout), ()

    def __call__(
        self, weights: PyTree, buffers: PyTree, x: Float[Array, "batch side side channels"], training: bool
    ) -> tuple[Float[Array, "batch out"], PyTree]:
        del training
        *blocks, readout = weights
        batch_last = jax.default_backend() == "cpu" and len(x) > FEW
        y = jnp.transpose(x, (3, 1, 2, 0)) if batch_last else x
        for block in blocks:
            y = _block(y, block, batch_last)
        if batch_last:
            y = jnp.transpose(y, (3, 1, 2, 0))
        return y.reshape(len(y), -1) @ readout.weight + readout.bias[None], buffers


def _kernel(key: Key[Array, ""], inputs: int, outputs: int) -> Float[Array, "3 3 in out"]:
    bound = (6 / (9 * inputs)) ** 0.5
    return jax.random.uniform(key, (3, 3, inputs, outputs), minval=-bound, maxval=bound)


def _block(y: Float[Array, "a height width b"], block: Block, batch_last: bool) -> Float[Array, "c h w d"]:
    channel = 0 if batch_last else 3
    others = tuple(axis for axis in range(4) if axis != channel)

    def over(vector: Float[Array, " channels"]) -> Float[Array, "..."]:
        return jnp.expand_dims(vector, others)

    y = (convolve_batch_last if batch_last else convolve)(y, block.kernel, border=1)
    mean = jnp.mean(y, others)
    variance = jnp.mean((y - over(mean)) ** 2, others)
    # Which one is largest can be told before normalising, which is then done for that one only.
    sign = over(jnp.where(block.scale < 0, -1.0, 1.0).astype(y.dtype))
    height, width = (size // 2 * 2 for size in y.shape[1:3])
    windows = [sign * y[:, i:height:2, j:width:2] for i in (0, 1) for j in (0, 1)]
    largest = sign * reduce(jnp.maximum, windows)
    gain = block.scale * jax.lax.rsqrt(variance + EPSILON)
    return jax.nn.relu((largest - over(mean)) * over(gain) + over(block.shift))
