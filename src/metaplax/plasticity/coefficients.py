"""The coefficients of a rule, and which synapses share one: all of them, a layer, a neuron's inputs, or none."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import Array, Float, PyTree

from metaplax.plasticity.updates import Coefficient

PerTerm = Sequence[float] | Float[Array, " terms"]
"""One number per term."""

Sharing = Literal["global", "layer", "neuron", "synapse"]

Sizes = Sequence[int] | Sequence[tuple[int, int]]
"""Number of neurons per layer, input first; or, for any network, the shapes of its weights: ``network.shapes``."""


class AbstractCoefficients(eqx.Module):
    """The meta-learned coefficients of ``R`` terms in a network of ``L`` layers of synapses."""

    sharing: ClassVar[Sharing]
    values: AbstractVar[PyTree]

    def fits(self, terms: int, sizes: "Sizes") -> bool:
        """Whether these are coefficients of ``terms`` terms in a network of these sizes, as ``shared`` takes them."""
        expected = jax.eval_shape(lambda: shared([0.0] * terms, self.sharing, sizes))
        shapes = [[leaf.shape for leaf in jax.tree.leaves(tree)] for tree in (self, expected)]
        return shapes[0] == shapes[1]

    @abstractmethod
    def filled(self, values: PerTerm) -> "AbstractCoefficients":
        """Coefficients of the same structure, in which each equals the given value of its term."""

    def at(self, layer: int, term: int) -> Coefficient:
        """Coefficient of term ``0..R-1`` in layer ``1..L``."""
        return self.values[layer - 1][term]

    def scalars(self, term: int) -> dict[str, Float[Array, ""]]:
        """Numbers to record for one term, keyed by a suffix: by default the mean of layer 2 as ``".layer2"`` etc."""
        return {f".layer{layer}": jnp.mean(values[term]) for layer, values in enumerate(self.values, start=1)}


class GlobalCoefficients(AbstractCoefficients):
    """One coefficient per term for the whole network, as in Shervani-Tabar & Rosenbaum (2023)."""

    sharing: ClassVar[Sharing] = "global"
    values: Float[Array, " terms"]

    def filled(self, values: PerTerm) -> "AbstractCoefficients":
        return type(self)(jnp.asarray(values, self.values.dtype))

    def at(self, layer: int, term: int) -> Coefficient:
        return self.values[term]

    def scalars(self, term: int) -> dict[str, Float[Array, ""]]:
        return {"": self.values[term]}


class LayerCoefficients(AbstractCoefficients):
    """One coefficient per term and layer."""

    sharing: ClassVar[Sharing] = "layer"
    values: Float[Array, "layers terms"]

    def filled(self, values: PerTerm) -> "AbstractCoefficients":
        return type(self)(jnp.broadcast_to(jnp.asarray(values, self.values.dtype), self.values.shape))


class NeuronCoefficients(AbstractCoefficients):
    """One coefficient per term and post-synaptic neuron."""

    sharing: ClassVar[Sharing] = "neuron"
    values: tuple[Float[Array, "terms _"], ...]

    def filled(self, values: PerTerm) -> "AbstractCoefficients":
        return type(self)(
            tuple(jnp.broadcast_to(jnp.asarray(values, leaf.dtype)[:, None], leaf.shape) for leaf in self.values)
        )


class SynapseCoefficients(AbstractCoefficients):
    """One coefficient per term and synapse."""

    sharing: ClassVar[Sharing] = "synapse"
    # One array per layer and term, so that an estimator recognises each as a constant that it need not store per step.
    values: tuple[tuple[Float[Array, "_ _"], ...], ...]

    def filled(self, values: PerTerm) -> "AbstractCoefficients":
        return type(self)(
            tuple(tuple(jnp.full_like(leaf, v) for leaf, v in zip(layer, values, strict=True)) for layer in self.values)
        )


def shared(initial: Sequence[float], sharing: Sharing = "global", sizes: Sizes = ()) -> AbstractCoefficients:
    """Coefficients that all start at the same value per term.

    Args:
        initial: one starting value per term.
        sharing: which synapses share a coefficient.
        sizes: number of neurons per layer, input first, or ``network.shapes``; needed unless ``sharing`` is
            ``"global"``.

    Raises:
        ValueError: ``sharing`` is unknown, or ``sizes`` is missing where it is needed.
    """
    start = jnp.asarray(initial, jnp.result_type(float))
    if sharing == "global":
        return GlobalCoefficients(start)
    shapes = _shapes(sizes)
    if not shapes:
        raise ValueError(f"coefficients per {sharing} need the layer sizes of the network")
    if sharing == "layer":
        return LayerCoefficients(jnp.tile(start, (len(shapes), 1)))
    if sharing == "neuron":
        return NeuronCoefficients(tuple(jnp.tile(start[:, None], (1, post)) for post, _ in shapes))
    if sharing == "synapse":
        return SynapseCoefficients(tuple(tuple(jnp.full(shape, value) for value in start) for shape in shapes))
    raise ValueError(f"coefficients are shared globally or per layer, neuron or synapse, not per {sharing!r}")


def _shapes(sizes: Sizes) -> list[tuple[int, int]]:
    """Shapes of the weights, from those or from the number of neurons per layer."""
    if sizes and isinstance(sizes[0], int):
        return list(zip(sizes[1:], sizes[:-1], strict=True))  # pyright: ignore
    return list(sizes)  # pyright: ignore
