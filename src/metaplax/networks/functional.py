"""Networks of any kind as functions of their weights, on batches: what energy learners settle."""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key, Num, PyTree


class AbstractFunctionalNetwork(eqx.Module):
    """Maps a batch of inputs to a batch of outputs; weights and running statistics are held by whoever calls it.

    Floating-point JAX arrays of its own, if it has any, are slow: they can be meta-learned, but are the same for all
    tasks.
    """

    def resample(self, key: Key[Array, ""]) -> "AbstractFunctionalNetwork":
        """The network at the start of one trial of meta-training, with slow arrays drawn anew if it has any."""
        del key
        return self

    @abstractmethod
    def init(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        """Weights, and buffers such as running statistics (``()`` if there are none)."""

    @abstractmethod
    def __call__(
        self, weights: PyTree, buffers: PyTree, x: Num[Array, "batch ..."], training: bool
    ) -> tuple[Float[Array, "batch ..."], PyTree]:
        """Outputs, and the buffers after this batch.

        Args:
            weights: as :meth:`init` gives them.
            buffers: likewise.
            x: inputs, the leading axis counts examples.
            training: whether to use, and keep, statistics of this batch; otherwise those in ``buffers`` are used.
        """


class EquinoxNetwork(AbstractFunctionalNetwork):
    """Any Equinox module that maps one input to one output and keeps no state.

    Args:
        make: from a key to the module, e.g. ``lambda key: eqx.nn.MLP(784, 10, 256, 5, jnp.tanh, key=key)``. Its
            floating-point arrays are the weights.
    """

    make: Callable[[Key[Array, ""]], PyTree] = eqx.field(static=True)

    def init(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        return eqx.filter(self.make(key), eqx.is_inexact_array), ()

    def module(self, weights: PyTree) -> PyTree:
        """The Equinox module with these weights."""
        shapes = eqx.filter_eval_shape(self.make, jax.random.key(0))
        rest = eqx.filter(shapes, lambda leaf: not isinstance(leaf, jax.ShapeDtypeStruct))
        return eqx.combine(weights, rest)

    def __call__(
        self, weights: PyTree, buffers: PyTree, x: Num[Array, "batch ..."], training: bool
    ) -> tuple[Float[Array, "batch ..."], PyTree]:
        del training
        return jax.vmap(self.module(weights))(x), buffers
