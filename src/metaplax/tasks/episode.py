"""What a learner sees of one task, and the interface of a distribution of tasks."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Key, Num, PyTree


class Examples(eqx.Module):
    """Inputs and targets; the leading axis of both counts examples, unless it is a single one."""

    x: Num[Array, "..."]
    y: Num[Array, "..."]


class Episode(eqx.Module):
    """One task: what to learn from, in the order it is seen, and what to be scored on.

    Both parts are pytrees of arrays with static shapes whose leading axis counts examples.
    """

    support: PyTree
    query: PyTree


class AbstractTask(eqx.Module):
    """A distribution of episodes."""

    @property
    def classes(self) -> int | None:
        """How many classes targets are drawn from; ``None`` if they are no classes."""
        return None

    def resample(self, key: Key[Array, ""]) -> "AbstractTask":
        """The distribution as it is in one trial, in the same structure.

        Here it may draw what stays the same over all episodes of a trial, such as a division of the data; by default
        it is as it is.
        """
        del key
        return self

    @abstractmethod
    def sample(self, key: Key[Array, ""]) -> Episode:
        """Draw one episode: a pure function of the key that can be traced and compiled."""
