"""The interface of a learner: four functions, written for one episode.

A learner is a pytree. Its floating-point JAX arrays are the meta-parameters; NumPy arrays and Python
numbers are constants. :func:`freeze` turns the former into the latter.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.plasticity import PrintedTerm
from metaplax.tasks import Episode

Metrics = dict[str, Float[Array, ""]]

Loop = Callable[[Any, PyTree, PyTree], PyTree]
"""How to run an inner loop: ``loop(step, state, inputs)`` is the state after all ``inputs``, one after the other."""


class IncompatibleError(ValueError):
    """A task, learner and estimator that cannot work together; the message is one sentence."""


class AbstractLearner(eqx.Module):
    """An inner loop. Whatever is a floating-point JAX array in it can be meta-learned."""

    @abstractmethod
    def init(self, key: Key[Array, ""]) -> PyTree:
        """State at the start of an episode."""

    @abstractmethod
    def update(self, state: PyTree, example: PyTree, key: Key[Array, ""]) -> PyTree:
        """State after one more example, as :meth:`precompute` gives it."""

    @abstractmethod
    def evaluate(self, state: PyTree, query: PyTree) -> tuple[Float[Array, ""], Metrics]:
        """Outer loss of the adapted state, and further numbers to record (no gradient is taken of those)."""

    @abstractmethod
    def check(self, episode: Episode, classes: int | None = None) -> None:
        """Refuse episodes that do not fit.

        Args:
            episode: shapes and dtypes only.
            classes: how many classes the task has, if it has any.

        Raises:
            IncompatibleError: one sentence saying what does not fit.
        """

    def precompute(self, support: PyTree) -> PyTree:
        """What :meth:`update` sees of examples, computed for all of them at once; by default they are as they are.

        Here a learner computes what does not depend on its state, such as the features of layers that do not change.
        """
        return support

    def adapt(self, state: PyTree, support: PyTree, key: Key[Array, ""], loop: Loop | None = None) -> PyTree:
        """State after the whole support set: by default one :meth:`update` per prepared example, in order.

        Args:
            state: where to start.
            support: examples, in the order they are seen.
            key: randomness of the updates.
            loop: how to run the loop; an estimator may pass one that remembers less. By default a plain scan.
        """
        steps = jax.tree.leaves(support)[0].shape[0]
        return (loop or plain_loop)(InnerStep(self, key), state, (self.precompute(support), jnp.arange(steps)))

    def run(self, episode: Episode, key: Key[Array, ""], loop: Loop | None = None) -> tuple[Float[Array, ""], Metrics]:
        """One whole episode: init, adapt, evaluate."""
        init_key, adapt_key = jax.random.split(key)
        state = self.adapt(self.init(init_key), episode.support, adapt_key, loop)
        loss, metrics = self.evaluate(state, episode.query)
        return loss, jax.lax.stop_gradient(metrics)

    def resample(self, key: Key[Array, ""]) -> "AbstractLearner":
        """The learner as it is at the start of one trial of meta-training, in the same structure.

        Here it may draw what differs from trial to trial, such as where its parameters start; by default it is as it
        is.
        """
        del key
        return self

    def check_unrolled(self) -> None:
        """Refuse to be differentiated in reverse through the inner loop; by default nothing speaks against it.

        Raises:
            IncompatibleError: one sentence saying why that cannot be.
        """

    def scalars(self) -> Metrics:
        """Meta-parameters worth plotting, by name; recorded at every meta-step, before it is taken."""
        return {}

    def printed(self) -> tuple[PrintedTerm, ...]:
        """How the plasticity rule is written, term by term; nothing if the learner has none."""
        return ()


class AbstractInnerStep(eqx.Module):
    """One step of an inner loop. Everything it depends on is a leaf of it, so that a loop can tell what is given."""

    @abstractmethod
    def __call__(self, state: PyTree, inputs: PyTree) -> PyTree:
        """State after one more step, given what is different in every step."""


class InnerStep(AbstractInnerStep):
    """One more example."""

    learner: AbstractLearner
    key: Key[Array, ""]

    def __call__(self, state: PyTree, inputs: tuple[PyTree, Int[Array, ""]]) -> PyTree:
        """State after one more example; ``inputs`` is the example and the index of the step."""
        example, index = inputs
        return self.learner.update(state, example, jax.random.fold_in(self.key, index))


def plain_loop(step: AbstractInnerStep, state: PyTree, inputs: PyTree) -> PyTree:
    """Run an inner loop with ``jax.lax.scan``."""
    return jax.lax.scan(lambda state, inputs: (step(state, inputs), None), state, inputs)[0]


def is_meta_parameter(leaf: Any) -> bool:
    """Whether a leaf of a learner is meta-learned: it is a floating-point JAX array."""
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.inexact)


def split(learner: AbstractLearner) -> tuple[PyTree, PyTree]:
    """Meta-parameters and constants of a learner; :func:`join` puts them together, ready to run."""
    return eqx.partition(learner, is_meta_parameter)


def join(parameters: PyTree, constants: PyTree) -> AbstractLearner:
    """A learner whose arrays are all JAX arrays; which of them were meta-parameters is forgotten."""
    learner = eqx.combine(parameters, constants)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, learner)


def freeze(tree: PyTree) -> PyTree:
    """The same tree with every array turned into a constant, so that it is no longer meta-learned."""
    return jax.tree.map(lambda leaf: np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf, tree)
