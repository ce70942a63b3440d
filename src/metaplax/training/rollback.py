"""Going back when meta-training has walked into a region where episodes explode.

Leaving out one explosive episode is enough when it was bad luck. When explosions follow each other, the parameters
themselves are the problem, and no gradient is left to lead out: then meta-training goes back to earlier parameters. A
region can also be bad without explosions, with losses that are finite, large and chaotic: then it goes back to the
parameters with the lowest loss.
"""

from dataclasses import dataclass
from math import inf, isfinite

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

SPACING = 5
"""Finite meta-steps between two stored sets of parameters."""

DECAY = 0.9
"""Decay per meta-step of the running mean of the loss."""

TOLERATED = 1
"""Explosive meta-steps in a row that are put down to bad luck."""


class Earlier(eqx.Module):
    """Parameters and optimiser state at earlier meta-steps, the newest first; finite meta-steps since that one."""

    stored: PyTree
    since: Int[Array, "*trials"]

    def after(self, before: PyTree, after: PyTree, streak: Int[Array, "*trials"]) -> tuple[PyTree, "Earlier"]:
        """What to go on from after a meta-step, and what is stored then; arguments as in ``Rollback.step``."""
        exploded, due = streak > 0, self.since + 1 >= SPACING
        back = streak > TOLERATED
        newest = jax.tree.map(lambda leaf: leaf[0], self.stored)
        pushed = jax.tree.map(lambda old, new: jnp.concatenate([new[None], old[:-1]]), self.stored, before)
        popped = jax.tree.map(lambda leaf: jnp.concatenate([leaf[1:], leaf[-1:]]), self.stored)
        stored = _choose(back, popped, _choose(~exploded & due, pushed, self.stored))
        since = jnp.where(exploded, self.since, jnp.where(due, 0, self.since + 1))
        return _choose(back, newest, after), Earlier(stored, since)


class Best(eqx.Module):
    """Parameters and optimiser state where the running mean of the loss was lowest; that mean, and the one now."""

    stored: PyTree
    lowest: Float[Array, "*trials"]
    recent: Float[Array, "*trials"]

    def after(self, loss: Float[Array, ""], current: PyTree, margin: float) -> tuple[PyTree, "Best"]:
        """After a meta-step to ``current`` with this loss: stay, or go back if the mean has risen by ``margin``."""
        known = jnp.where(jnp.isfinite(loss), loss, self.recent)
        recent = jnp.where(jnp.isfinite(self.recent), DECAY * self.recent + (1 - DECAY) * known, known)
        lost, better = recent > self.lowest + margin, recent < self.lowest
        stored = _choose(better, current, self.stored)
        lowest = jnp.where(better, recent, self.lowest)
        return _choose(lost, stored, current), Best(stored, lowest, jnp.where(lost, lowest, recent))


@dataclass(frozen=True)
class Rollback:
    """When meta-training goes back, and what it remembers for that.

    From the second meta-step in a row on in which every episode exploded, the parameters go back to those of an
    earlier meta-step, and further back with each further one.

    Attributes:
        ceiling: an outer loss that no episode should exceed, such as one and a half times that of an untrained
            network; an episode above it counts as exploded and is left out. Its gradient is huge and leads nowhere.
        margin: how far the running mean of the loss over about ten meta-steps may rise above its lowest value; then
            the parameters go back to where it was lowest. An exploded episode counts with the ceiling. Infinite: never.
        anchors: how many earlier sets of parameters and optimiser state are stored, one every five finite meta-steps.

    Raises:
        ValueError: ``anchors`` is below one.
    """

    ceiling: float = inf
    margin: float = inf
    anchors: int = 8

    def __post_init__(self):
        if self.anchors < 1:
            raise ValueError(f"going back needs at least 1 stored set of parameters, not {self.anchors}")

    def start(self, current: PyTree) -> tuple[Earlier, Best | None]:
        """Its state before the first meta-step from ``current``, a pair of parameters and optimiser state."""
        repeated = jax.tree.map(lambda leaf: jnp.repeat(jnp.asarray(leaf)[None], self.anchors, axis=0), current)
        earlier, unknown = Earlier(repeated, jnp.int32(0)), jnp.asarray(jnp.inf, jnp.result_type(float))
        is_watching = isfinite(self.margin)
        return earlier, Best(jax.tree.map(jnp.asarray, current), unknown, unknown) if is_watching else None

    def step(
        self,
        state: tuple[Earlier, Best | None],
        before: PyTree,
        after: PyTree,
        loss: Float[Array, ""],
        streak: Int[Array, ""],
    ) -> tuple[PyTree, tuple[Earlier, Best | None]]:
        """The parameters and optimiser state to go on from after a meta-step, and its own state then.

        Args:
            state: its state before.
            before: parameters and optimiser state before the meta-step.
            after: those after it, equal to ``before`` if all episodes exploded.
            loss: mean over the episodes that did not explode.
            streak: meta-steps in a row in which all of them did, this one included.
        """
        current, earlier = state[0].after(before, after, streak)
        if state[1] is None:
            return current, (earlier, None)
        current, best = state[1].after(jnp.where(streak == 0, loss, self.ceiling), current, self.margin)
        return current, (earlier, best)


def _choose(condition: Bool[Array, ""], yes: PyTree, no: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def ceiling_of(rollback: Rollback | None) -> float:
    """Outer loss above which an episode has exploded."""
    return rollback.ceiling if rollback else float("inf")
