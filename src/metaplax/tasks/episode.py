"""What a learner sees of one task, and the interface of a distribution of tasks."""

from abc import abstractmethod

import equinox as eqx
import jax
from jaxtyping import Array, Float, Int, Key, Num, PyTree


class Examples(eqx.Module):
    """Inputs and targets; the leading axis of all arrays counts examples, unless there is only a single example.

    Attributes:
        x: inputs.
        y: targets.
        learns: the factor of the update that each example brings, 0 where nothing is learned; 1 everywhere if not
            given. Only plastic learners take it.
        modulators: recorded signals that are broadcast to all synapses with each example, such as a reward, in place of
            those that a modulator makes; of shape ``(examples, modulators)``. Only plastic learners take them.
    """

    x: Num[Array, "..."]
    y: Num[Array, "..."]
    learns: Float[Array, "..."] | None = None
    modulators: Float[Array, "... modulators"] | None = None

    def take(self, rows: Int[Array, " n"] | slice) -> "Examples":
        """Some of the examples."""
        return jax.tree.map(lambda leaf: leaf[rows], self)


class Episode(eqx.Module):
    """One task: what a learner adapts to, in the order it sees it, and what it is scored on.

    Both parts are pytrees of arrays with static shapes whose leading axis counts examples.

    Attributes:
        support: what is learned from.
        query: what is scored.
        start: where the inner loop starts, if that belongs to the task: initial weights, one array per connection, or
            the number of one of several starts that the learner holds. Only plastic learners take it.
    """

    support: PyTree
    query: PyTree
    start: PyTree = None


class AbstractTask(eqx.Module):
    """A distribution of episodes."""

    @property
    def classes(self) -> int | None:
        """Number of classes that targets are labels of; ``None`` if targets are not class labels."""
        return None

    def resample(self, key: Key[Array, ""]) -> "AbstractTask":
        """Draw what stays the same over all episodes of one trial, such as which images are held back.

        Called once per trial, before its first episode. Gives the distribution for this trial, with arrays of the same
        shapes. By default nothing is drawn.
        """
        del key
        return self

    @abstractmethod
    def sample(self, key: Key[Array, ""]) -> Episode:
        """Draw one episode: a pure function of the key that can be traced and compiled."""
