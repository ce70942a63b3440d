"""The interface of a learner: four functions, written for one episode."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.learners.trainable import keep_frozen
from metaplax.plasticity import PrintedTerm
from metaplax.tasks import Episode

Metrics = dict[str, Float[Array, ""]]

Loop = Callable[[Any, PyTree, PyTree], PyTree]
"""How to run an inner loop: ``loop(step, state, inputs)`` is the state after all ``inputs``, one after the other."""


class IncompatibleError(ValueError):
    """A task, learner and estimator that cannot work together; the message is one sentence."""


class AbstractLearner(eqx.Module):
    """An inner loop. Which of its arrays are meta-learned is said by ``trainable``.

    Attributes:
        frozen: paths of arrays that are not meta-learned, set by ``freeze``.
    """

    frozen: tuple[str, ...] = eqx.field(static=True, default=(), kw_only=True)

    @abstractmethod
    def init(self, key: Key[Array, ""]) -> PyTree:
        """State at the start of an episode."""

    def first_state(self, episode: Episode, key: Key[Array, ""]) -> PyTree:
        """State at the start of this episode: by default ``init``.

        Raises:
            IncompatibleError: the episode says where to start, and this learner takes no such start.
        """
        if episode.start is not None:
            raise IncompatibleError(f"{type(self).__name__} does not take the start that the episodes come with")
        return self.init(key)

    @abstractmethod
    def update(self, state: PyTree, example: PyTree, key: Key[Array, ""]) -> PyTree:
        """State after one more example, in the form that ``precompute`` gives it."""

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
        """The support set as ``update`` sees it, computed for all examples at once; by default unchanged.

        A learner computes here what does not depend on its state, such as features of layers that do not change.
        """
        return support

    def adapt(self, state: PyTree, support: PyTree, key: Key[Array, ""], loop: Loop | None = None) -> PyTree:
        """State after the whole support set: by default one ``update`` per example, in order.

        Args:
            state: where to start.
            support: examples, in the order they are seen.
            key: randomness of the updates.
            loop: how to run the loop; an estimator may pass one that stores less. By default a plain scan.
        """
        seen = self.precompute(support)
        steps = jax.tree.leaves(seen)[0].shape[0]
        return (loop or plain_loop)(InnerStep(self, key), state, (seen, jnp.arange(steps)))

    def run(self, episode: Episode, key: Key[Array, ""], loop: Loop | None = None) -> tuple[Float[Array, ""], Metrics]:
        """One whole episode: init, adapt, evaluate."""
        init_key, adapt_key = jax.random.split(key)
        state = self.adapt(self.first_state(episode, init_key), episode.support, adapt_key, loop)
        loss, metrics = self.evaluate(state, episode.query)
        return loss, jax.lax.stop_gradient(metrics)

    def resample(self, key: Key[Array, ""]) -> "AbstractLearner":
        """The learner with a fresh random start, as published experiments draw one per trial; what is frozen stays."""
        return keep_frozen(self, self.redrawn(key))

    def redrawn(self, key: Key[Array, ""]) -> "AbstractLearner":
        """The learner with everything drawn anew that starts at random, frozen or not; by default nothing is."""
        del key
        return self

    def untrained(self) -> tuple[str, ...]:
        """Paths, such as ``".strength"``, of arrays that this learner never meta-learns; by default none."""
        return ()

    def output_size(self, episode: Episode) -> int | None:
        """How many outputs the network has for such episodes (shapes only); ``None`` if it has none."""
        del episode

    def why_exploding(self, episode: Episode) -> str | None:
        """Why this learner explodes in episodes like this one, in one sentence; by default that is not known."""
        del episode

    def check_unrolled(self) -> None:
        """Refuse to be differentiated in reverse through the inner loop; by default nothing is refused.

        Raises:
            IncompatibleError: one sentence saying why that is impossible.
        """

    def scalars(self) -> Metrics:
        """Meta-parameters worth plotting, by name; recorded at every meta-step, before it is taken."""
        return {}

    def printed(self) -> tuple[PrintedTerm, ...]:
        """How the plasticity rule is written, term by term; empty for a learner without one."""
        return ()


class AbstractInnerStep(eqx.Module):
    """One step of an inner loop; everything that it depends on is a leaf of it."""

    @abstractmethod
    def __call__(self, state: PyTree, inputs: PyTree) -> PyTree:
        """State after one more step, given what is different in every step."""


class InnerStep(AbstractInnerStep):
    """The update of a learner by one more example."""

    learner: AbstractLearner
    key: Key[Array, ""]

    def __call__(self, state: PyTree, inputs: tuple[PyTree, Int[Array, ""]]) -> PyTree:
        """State after one more example; ``inputs`` is the example and the index of the step."""
        example, index = inputs
        return self.learner.update(state, example, jax.random.fold_in(self.key, index))


def plain_loop(step: AbstractInnerStep, state: PyTree, inputs: PyTree) -> PyTree:
    """Run an inner loop with ``jax.lax.scan``."""
    return jax.lax.scan(lambda state, inputs: (step(state, inputs), None), state, inputs)[0]
