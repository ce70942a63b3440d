"""Recorded experiments as episodes: one trajectory each, which a learner replays step by step."""

from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import Array, Key

from metaplax.tasks.episode import AbstractTask, Episode


class Recordings(AbstractTask):
    """Trajectories of recorded, or simulated, experiments; an episode is one of them, drawn at random.

    Its support set are the steps of the trajectory in order, and its query set the same steps: a learner with
    ``prequential=True`` is scored on every step before it learns from it.

    Args:
        episodes: all trajectories, with a leading axis that counts them.
        simulate: draws a trajectory; then every trial of meta-training has simulations of its own, as many as there are
            in ``episodes``.
        part: simulations of parts with different numbers are different ones, such as those that are held out.
        bootstrap: whether every trial draws as many of the trajectories as there are, with replacement.
    """

    episodes: Episode
    simulate: Callable[[Key[Array, ""]], Episode] | None = None
    part: int = eqx.field(static=True, default=0)
    bootstrap: bool = eqx.field(static=True, default=False)

    @property
    def count(self) -> int:
        """How many trajectories there are."""
        return jax.tree.leaves(self.episodes)[0].shape[0]

    def resample(self, key: Key[Array, ""]) -> "Recordings":
        if self.simulate is not None:
            return simulated(self.simulate, self.count, key, self.part)
        if not self.bootstrap:
            return self
        rows = jax.random.randint(key, (self.count,), 0, self.count)
        return Recordings(jax.tree.map(lambda leaf: leaf[rows], self.episodes), None, self.part, True)

    def sample(self, key: Key[Array, ""]) -> Episode:
        return self.at(jax.random.randint(key, (), 0, self.count))

    def at(self, number: Array | int) -> Episode:
        """One trajectory by its number."""
        return jax.tree.map(lambda leaf: leaf[number], self.episodes)


def simulated(
    simulate: Callable[[Key[Array, ""]], Episode], count: int, key: Key[Array, ""], part: int = 0
) -> Recordings:
    """So many simulated trajectories.

    Args:
        simulate: draws one; if it is a module, its arrays are not compiled into programs.
        count: how many.
        key: randomness.
        part: see ``Recordings``.
    """
    keys = jax.random.split(jax.random.fold_in(key, part), count)
    return Recordings(eqx.filter_vmap(simulate)(keys), simulate, part)
