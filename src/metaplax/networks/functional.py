"""Networks of any kind as functions of their weights, on batches: energy learners train them."""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key, Num, PyTree

from metaplax.networks.populations import AbstractPlasticNetwork, Weights

Inputs = Num[Array, "batch ..."]
"""A batch of inputs; the leading axis counts examples."""

Outputs = Float[Array, "batch ..."]
"""A batch of outputs; the leading axis counts examples."""


class AbstractFunctionalNetwork(eqx.Module):
    """Maps a batch of inputs to a batch of outputs; weights and running statistics are held by the caller.

    Floating-point arrays of its own, if it has any, do not change within a task, but can be meta-learned.
    """

    def resample(self, key: Key[Array, ""]) -> "AbstractFunctionalNetwork":
        """The network with its own arrays drawn anew, if it has any."""
        return self

    @abstractmethod
    def init(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        """Weights, and buffers: arrays that are not trained, such as running statistics (``()`` if there are none)."""

    @abstractmethod
    def __call__(self, weights: PyTree, buffers: PyTree, x: Inputs, training: bool) -> tuple[Outputs, PyTree]:
        """Outputs, and the buffers after this batch.

        In training, it normalises by the statistics of this batch and updates the running ones; otherwise it normalises
        by the running ones, which are in ``buffers``.
        """


class EquinoxNetwork(AbstractFunctionalNetwork):
    """Any Equinox module that maps one input to one output and keeps no state.

    Args:
        make: makes the module from a key, e.g. ``lambda key: eqx.nn.MLP(784, 10, 256, 5, jnp.tanh, key=key)``. Its
            floating-point arrays are the weights; integer and boolean arrays, such as masks, are the buffers.
    """

    make: Callable[[Key[Array, ""]], PyTree] = eqx.field(static=True)

    def init(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        weights, rest = eqx.partition(self.make(key), eqx.is_inexact_array)
        return weights, eqx.filter(rest, eqx.is_array)

    def module(self, weights: PyTree, buffers: PyTree) -> PyTree:
        """The Equinox module with these weights and buffers."""
        shapes = eqx.filter_eval_shape(self.make, jax.random.key(0))
        rest = eqx.filter(shapes, lambda leaf: not isinstance(leaf, jax.ShapeDtypeStruct))
        return eqx.combine(weights, buffers, rest)

    def __call__(self, weights: PyTree, buffers: PyTree, x: Inputs, training: bool) -> tuple[Outputs, PyTree]:
        return jax.vmap(self.module(weights, buffers))(x), buffers


class PlasticFunction(AbstractFunctionalNetwork):
    """A network of populations and connections as a function of its weights.

    Outputs are the logits: ``(batch, outputs)``, or ``(batch, time, outputs)`` for sequences. Synapses that a
    constraint leaves out stay out.

    Args:
        network: the network.
        scored: how many steps at the end of a sequence are scored; 0 for all.

    Raises:
        ValueError: ``scored`` is negative, or a constraint of the network is more than a mask.
    """

    network: AbstractPlasticNetwork
    scored: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        if self.scored < 0:
            raise ValueError(f"scored says how many steps at the end are scored, so it must not be {self.scored}")
        for it in self.network.connections:
            if it.constraint is not None and it.constraint.mask(it.wiring.shape) is None:
                raise ValueError(
                    f"the constraint {type(it.constraint).__name__} moves weights after every update, which no"
                    " minimiser of an energy does: use PlasticLearner, or Sparse alone"
                )

    def effective(self, weights: Weights) -> Weights:
        """The weights with zeros where there are no synapses."""
        pairs = zip(self.network.connections, weights, strict=True)
        return tuple(weight if it.constraint is None else it.constraint(weight) for it, weight in pairs)

    def init(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        return self.network.init(key), ()

    def __call__(self, weights: PyTree, buffers: PyTree, x: Inputs, training: bool) -> tuple[Outputs, PyTree]:
        effective = self.effective(weights)
        return jax.vmap(lambda x: self.network(effective, x))(x), buffers
