"""Inner loops whose every step is written in the algebra of weight updates."""

from abc import abstractmethod

import jax
from jaxtyping import Array, Key, PyTree

from metaplax.learners.base import AbstractLearner
from metaplax.plasticity import apply


class AbstractInvertibleLearner(AbstractLearner):
    """A learner that says how its state changes, in place of changing it.

    Because ``Outer`` and its like can be undone, such a learner can be run backwards,
    which is what ``Reversible`` needs.
    """

    @abstractmethod
    def updates(self, state: PyTree, example: PyTree, key: Key[Array, ""]) -> PyTree:
        """Changes asked for by one more example, as ``precompute`` gives it.

        Returns:
            the structure of the state with a tuple of updates in place of each array; an empty one where
            nothing changes.
        """

    def update(self, state: PyTree, example: PyTree, key: Key[Array, ""]) -> PyTree:
        return jax.tree.map(apply, state, self.updates(state, example, key))
