"""What a learner sees of one task, and the interface of a distribution of tasks."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Int, Key, Num, PyTree


class Examples(eqx.Module):
    """Inputs and targets; the leading axis of both counts examples, unless there is only a single example."""

    x: Num[Array, "..."]
    y: Num[Array, "..."]

    def take(self, rows: Int[Array, " n"] | slice) -> "Examples":
        """Some of the examples."""
        return Examples(self.x[rows], self.y[rows])


class Episode(eqx.Module):
    """One task: what a learner adapts to, in the order it sees it, and what it is scored on.

    Both parts are pytrees of arrays with static shapes whose leading axis counts examples.
    """

    support: PyTree
    query: PyTree


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
