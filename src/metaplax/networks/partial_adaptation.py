"""Networks that adapt only partly to a task: some of their arrays are meta-learned and fixed within a task."""

from math import prod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.networks.conv_blocks import Block, ConvBlocks
from metaplax.networks.functional import AbstractFunctionalNetwork, Inputs, Outputs
from metaplax.networks.layers import Affine


class FastReadout(AbstractFunctionalNetwork):
    """Another network of which only the readout adapts to a task; all other weights are fixed within a task.

    Args:
        network: network whose weights are a tuple with the readout at the end, such as ``ConvBlocks``.
        key: key from which the fixed weights are drawn; by default ``jax.random.key(0)``.

    Source: Raghu et al. (2020), ANIL; Zucchet et al. (2022), code (``only_head``).
    """

    network: AbstractFunctionalNetwork
    slow: PyTree

    def __init__(self, network: AbstractFunctionalNetwork, key: Key[Array, ""] | None = None):
        self.network = network
        self.slow = network.init(jax.random.key(0) if key is None else key)[0][:-1]

    def resample(self, key: Key[Array, ""]) -> "FastReadout":
        return eqx.tree_at(lambda it: it.slow, self, self.network.init(key)[0][:-1])

    def init(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        weights, buffers = self.network.init(key)
        return weights[-1:], buffers

    def __call__(self, weights: PyTree, buffers: PyTree, x: Inputs, training: bool) -> tuple[Outputs, PyTree]:
        return self.network((*self.slow, *weights), buffers, x, training)


class TemplateWeights(eqx.Module):
    """Weights that adapt to a task: the coefficients of the templates for every input channel, and the readout."""

    coefficients: tuple[Float[Array, "templates _"], ...]
    readout: Affine


class TemplateBlocks(AbstractFunctionalNetwork):
    """Convolutional blocks whose kernels are linear combinations of templates that all blocks share.

    ``kernel_l[:, :, i, o] = sum_k templates[k, o] * coefficients_l[k, i]``; a block with fewer output channels uses the
    first ones of each template. Coefficients and readout adapt to a task. Templates, scales and shifts of batch
    normalisation are meta-learned and fixed within a task. Templates and coefficients start orthogonal.

    Args:
        network: the blocks.
        templates: number of templates.
        key: key from which the templates are drawn; by default ``jax.random.key(0)``.

    Raises:
        ValueError: there is no template.

    Source: Zucchet et al. (2022), section 5.3, and code (``hnet_model``).
    """

    network: ConvBlocks
    templates: Float[Array, "templates out 3 3"]
    scales: tuple[Float[Array, " out"], ...]
    shifts: tuple[Float[Array, " out"], ...]

    def __init__(self, network: ConvBlocks, templates: int = 100, key: Key[Array, ""] | None = None):
        if templates < 1:
            raise ValueError(f"there must be at least 1 template, not {templates}")
        self.network = network
        shape = (templates, max(network.channels), 3, 3)
        self.templates = _orthogonal(jax.random.key(0) if key is None else key, shape)
        self.scales = tuple(jnp.ones(width) for width in network.channels)
        self.shifts = tuple(jnp.zeros(width) for width in network.channels)

    def resample(self, key: Key[Array, ""]) -> "TemplateBlocks":
        return eqx.tree_at(lambda it: it.templates, self, _orthogonal(key, self.templates.shape))

    def init(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        *keys, readout_key = jax.random.split(key, len(self.network.channels) + 1)
        shapes = [(len(self.templates), count) for count in self.network.inputs]
        coefficients = tuple(_orthogonal(k, shape) for k, shape in zip(keys, shapes, strict=True))
        weights, buffers = self.network.init(readout_key)
        return TemplateWeights(coefficients, weights[-1]), buffers

    def __call__(self, weights: TemplateWeights, buffers: PyTree, x: Inputs, training: bool) -> tuple[Outputs, PyTree]:
        parts = zip(weights.coefficients, self.scales, self.shifts, strict=True)
        blocks = [
            Block(jnp.einsum("korc,ki->rcio", self.templates[:, : len(scale)], coefficients), scale, shift)
            for coefficients, scale, shift in parts
        ]
        return self.network((*blocks, weights.readout), buffers, x, training)


def _orthogonal(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """An array which, as a matrix of ``shape[0]`` rows, has orthonormal rows or columns."""
    matrix = jax.nn.initializers.orthogonal()(key, (shape[0], prod(shape[1:])), jnp.result_type(float))
    return matrix.reshape(shape)
