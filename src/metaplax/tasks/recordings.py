"""Recorded experiments as episodes: one trajectory each, which a learner replays step by step."""

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
from jaxtyping import Array, Int, Key

from metaplax.tasks.episode import AbstractTask, Episode


class Recordings(AbstractTask):
    """Trajectories of recorded experiments; an episode is one of them, drawn at random.

    Its support set are the steps of the trajectory in order, and its query set the same steps: a learner with
    ``prequential=True`` is scored on every step before it learns from it.

    Args:
        episodes: all trajectories, with a leading axis that counts them.
        bootstrap: whether every trial of meta-training draws as many trajectories as there are, with replacement.
    """

    episodes: Episode
    bootstrap: bool = eqx.field(static=True, default=False)

    @property
    def count(self) -> int:
        """How many trajectories there are."""
        return jax.tree.leaves(self.episodes)[0].shape[0]

    def resample(self, key: Key[Array, ""]) -> "Recordings":
        if not self.bootstrap:
            return self
        rows = jax.random.randint(key, (self.count,), 0, self.count)
        return Recordings(jax.tree.map(lambda leaf: leaf[rows], self.episodes), True)

    def sample(self, key: Key[Array, ""]) -> Episode:
        return self.at(jax.random.randint(key, (), 0, self.count))

    def at(self, number: Int[Array, ""] | int) -> Episode:
        """One trajectory by its number."""
        return jax.tree.map(lambda leaf: leaf[number], self.episodes)


class Simulations(AbstractTask):
    """Trajectories of simulated experiments, a number of them that is the same throughout a trial.

    A trajectory is simulated when it is drawn, and is the same whenever it is drawn again.

    Args:
        simulate: draws a trajectory; if it is a module, its arrays are not compiled into programs.
        count: how many trajectories there are.
        part: those of fitting and those that are held out have nothing in common.
        key: of the trial.
    """

    simulate: Callable[[Key[Array, ""]], Episode]
    count: int = eqx.field(static=True)
    part: Literal["fitted", "held out"] = eqx.field(static=True, default="fitted")
    key: Key[Array, ""] = eqx.field(default_factory=lambda: jax.random.key(0))

    def resample(self, key: Key[Array, ""]) -> "Simulations":
        return Simulations(self.simulate, self.count, self.part, key)

    def sample(self, key: Key[Array, ""]) -> Episode:
        return self.at(jax.random.randint(key, (), 0, self.count))

    def at(self, number: Int[Array, ""] | int) -> Episode:
        """One trajectory by its number."""
        return self.simulate(jax.random.fold_in(self.key, 2 * number + (self.part == "fitted")))
