"""Networks of which a part is slow: arrays of the network itself, which meta-learning may change and tasks do not."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.networks.batch_norm import Layer
from metaplax.networks.conv_blocks import Block, ConvBlocks
from metaplax.networks.functional import AbstractFunctionalNetwork


class FastReadout(AbstractFunctionalNetwork):
    """Another network, of which only the last of the weights, its readout, are fast.

    Args:
        network: whose weights are a tuple with the readout at the end, such as :class:`ConvBlocks`.
        key: of the slow weights outside of meta-training.

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

    def __call__(
        self, weights: PyTree, buffers: PyTree, x: Float[Array, "batch ..."], training: bool
    ) -> tuple[Float[Array, "batch ..."], PyTree]:
        return self.network((*self.slow, *weights), buffers, x, training)


class TemplateWeights(eqx.Module):
    """Fast weights: how much of each template every input channel of every block gets, and the readout."""

    coefficients: tuple[Float[Array, "templates _"], ...]
    readout: Layer


class TemplateBlocks(AbstractFunctionalNetwork):
    """Convolutional blocks whose kernels are sums of templates that all blocks share: a modulation from above.

    ``kernel_l[:, :, i, o] = sum_k templates[k, o] * coefficients_l[k, i]``; a narrower block takes the first channels
    of them. Coefficients and readout are fast; templates, scales and shifts of batch normalisation are slow.
    Templates and coefficients start orthogonal.

    Args:
        network: the blocks.
        templates: how many.
        key: of the slow weights outside of meta-training.

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
            raise ValueError(f"kernels are sums of at least 1 template, not {templates}")
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

    def __call__(
        self, weights: TemplateWeights, buffers: PyTree, x: Float[Array, "batch ..."], training: bool
    ) -> tuple[Float[Array, "batch ..."], PyTree]:
        parts = zip(weights.coefficients, self.scales, self.shifts, strict=True)
        blocks = [self._block(c, *affine) for c, *affine in parts]
        return self.network((*blocks, weights.readout), buffers, x, training)

    def _block(
        self, coefficients: Float[Array, "templates in"], scale: Float[Array, " out"], shift: Float[Array, " out"]
    ) -> Block:
        return Block(jnp.einsum("korc,ki->rcio", self.templates[:, : len(scale)], coefficients), scale, shift)


def _orthogonal(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Orthonormal rows or columns of the matrix whose first axis is that of the templates."""
    rest = 1
    for size in shape[1:]:
        rest *= size
    return jax.nn.initializers.orthogonal()(key, (shape[0], rest), jnp.result_type(float)).reshape(shape)
