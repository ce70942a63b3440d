"""How many synapses share one coefficient: all of them, a layer, a neuron's inputs, or none."""

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


class AbstractCoefficients(eqx.Module):
    """The meta-learned numbers in front of ``R`` terms, for the synapses of ``L`` layers."""

    sharing: ClassVar[Sharing]
    values: AbstractVar[PyTree]

    def fits(self, terms: int, sizes: Sequence[int]) -> bool:
        """Whether there is a coefficient for each of so many terms in a network of these sizes."""
        expected = jax.eval_shape(lambda: shared([0.0] * terms, self.sharing, sizes))
        shapes = [[leaf.shape for leaf in jax.tree.leaves(tree)] for tree in (self, expected)]
        return shapes[0] == shapes[1]

    @abstractmethod
    def filled(self, values: PerTerm) -> "AbstractCoefficients":
        """The same structure, with one value for every coefficient of a term."""

    @abstractmethod
    def at(self, layer: int, term: int) -> Coefficient:
        """Coefficient of term ``0..R-1`` in layer ``1..L``."""

    @abstractmethod
    def scalars(self, term: int) -> dict[str, Float[Array, ""]]:
        """A few numbers worth plotting for one term, keyed by a suffix such as ``""`` or ``".layer2"``."""


class GlobalCoefficients(AbstractCoefficients):
    """One coefficient per term for the whole network, as in the paper."""

    sharing: ClassVar[Sharing] = "global"
    values: Float[Array, " terms"]

    def filled(self, values: PerTerm) -> "AbstractCoefficients":
        return type(self)(jnp.asarray(values, self.values.dtype))

    def at(self, layer: int, term: int) -> Coefficient:
        del layer
        return self.values[term]

    def scalars(self, term: int) -> dict[str, Float[Array, ""]]:
        return {"": self.values[term]}


class LayerCoefficients(AbstractCoefficients):
    """One coefficient per term and layer."""

    sharing: ClassVar[Sharing] = "layer"
    values: Float[Array, "layers terms"]

    def filled(self, values: PerTerm) -> "AbstractCoefficients":
        return type(self)(jnp.broadcast_to(jnp.asarray(values, self.values.dtype), self.values.shape))

    def at(self, layer: int, term: int) -> Coefficient:
        return self.values[layer - 1, term]

    def scalars(self, term: int) -> dict[str, Float[Array, ""]]:
        return {f".layer{layer}": value for layer, value in enumerate(self.values[:, term], start=1)}


class NeuronCoefficients(AbstractCoefficients):
    """One coefficient per term and post-synaptic neuron. Plots show the mean of every layer."""

    sharing: ClassVar[Sharing] = "neuron"
    values: tuple[Float[Array, "terms _"], ...]

    def filled(self, values: PerTerm) -> "AbstractCoefficients":
        return type(self)(
            tuple(jnp.broadcast_to(jnp.asarray(values, leaf.dtype)[:, None], leaf.shape) for leaf in self.values)
        )

    def at(self, layer: int, term: int) -> Coefficient:
        return self.values[layer - 1][term]

    def scalars(self, term: int) -> dict[str, Float[Array, ""]]:
        return {f".layer{layer}": jnp.mean(value[term]) for layer, value in enumerate(self.values, start=1)}


class SynapseCoefficients(AbstractCoefficients):
    """One coefficient per term and synapse. Plots show the mean of every layer."""

    sharing: ClassVar[Sharing] = "synapse"
    # One array per layer and term: an estimator recognises it and need not remember it at every step.
    values: tuple[tuple[Float[Array, "_ _"], ...], ...]

    def filled(self, values: PerTerm) -> "AbstractCoefficients":
        return type(self)(
            tuple(
                tuple(jnp.full_like(leaf, value) for leaf, value in zip(layer, values, strict=True))
                for layer in self.values
            )
        )

    def at(self, layer: int, term: int) -> Coefficient:
        return self.values[layer - 1][term]

    def scalars(self, term: int) -> dict[str, Float[Array, ""]]:
        return {f".layer{layer}": jnp.mean(values[term]) for layer, values in enumerate(self.values, start=1)}


def shared(initial: Sequence[float], sharing: Sharing = "global", sizes: Sequence[int] = ()) -> AbstractCoefficients:
    """Coefficients that all start at the same value per term.

    Args:
        initial: one starting value per term.
        sharing: which synapses share a coefficient.
        sizes: neurons per layer, input first; needed unless ``sharing`` is ``"global"``.

    Raises:
        ValueError: ``sharing`` is unknown, or ``sizes`` is missing where it is needed.
    """
    start = jnp.asarray(initial, jnp.result_type(float))
    if sharing == "global":
        return GlobalCoefficients(start)
    if len(sizes) < 2:
        raise ValueError(f"coefficients per {sharing} need the layer sizes of the network")
    posts, pres = sizes[1:], sizes[:-1]
    if sharing == "layer":
        return LayerCoefficients(jnp.tile(start, (len(posts), 1)))
    if sharing == "neuron":
        return NeuronCoefficients(tuple(jnp.tile(start[:, None], (1, n)) for n in posts))
    if sharing == "synapse":
        shapes = zip(posts, pres, strict=True)
        return SynapseCoefficients(tuple(tuple(jnp.full(shape, value) for value in start) for shape in shapes))
    raise ValueError(f"coefficients are shared globally or per layer, neuron or synapse, not per {sharing!r}")
