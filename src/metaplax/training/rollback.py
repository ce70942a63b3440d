"""Going back when meta-training has walked into a region where episodes explode.

Leaving out one explosive episode is enough when it was bad luck. When explosions follow each other, the
parameters themselves are the problem, and no gradient is left to lead out: then the way back is the way we came
(:class:`Anchors`). A region can also be bad without explosions, with losses that are finite, large and chaotic:
then it is back to the best there was (:class:`Best`).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

SPACING = 5
"""Finite meta-steps between two anchors."""

MEMORY = 0.9
"""Decay per meta-step of the running mean of the loss."""

TOLERATED = 1
"""Explosive meta-steps in a row that are put down to bad luck."""


class Anchors(eqx.Module):
    """Parameters and optimiser state at earlier meta-steps, the newest first.

    Attributes:
        kept: each leaf has a leading axis of anchors.
        since: finite meta-steps since the newest was kept.
    """

    kept: PyTree
    since: Int[Array, "*trials"]

    @staticmethod
    def start(current: PyTree, count: int) -> "Anchors":
        """``count`` anchors, all at the start of meta-training."""
        return Anchors(
            jax.tree.map(lambda leaf: jnp.repeat(jnp.asarray(leaf)[None], count, axis=0), current), jnp.int32(0)
        )

    def passed(self, before: PyTree) -> "Anchors":
        """After a finite meta-step from ``before``: keep that as an anchor if it is time for one."""
        due = self.since + 1 >= SPACING
        pushed = jax.tree.map(lambda old, new: jnp.concatenate([new[None], old[:-1]]), self.kept, before)
        return Anchors(_choose(due, pushed, self.kept), jnp.where(due, 0, self.since + 1))

    def exploded(self, current: PyTree, streak: Int[Array, "*trials"]) -> tuple[PyTree, "Anchors"]:
        """After the ``streak``-th explosive meta-step in a row: stay, or go back by one more anchor."""
        retreat = streak > TOLERATED
        newest = jax.tree.map(lambda leaf: leaf[0], self.kept)
        popped = jax.tree.map(lambda leaf: jnp.concatenate([leaf[1:], leaf[-1:]]), self.kept)
        return _choose(retreat, newest, current), Anchors(_choose(retreat, popped, self.kept), self.since)


class Best(eqx.Module):
    """Parameters and optimiser state where the running mean of the loss was lowest.

    Attributes:
        kept: those parameters and that state.
        lowest: the running mean there.
        recent: the running mean now.
    """

    kept: PyTree
    lowest: Float[Array, "*trials"]
    recent: Float[Array, "*trials"]

    @staticmethod
    def start(current: PyTree) -> "Best":
        """Before the first meta-step."""
        unknown = jnp.asarray(jnp.inf, jnp.result_type(float))
        return Best(jax.tree.map(jnp.asarray, current), unknown, unknown)

    def after(self, loss: Float[Array, ""], current: PyTree, margin: float) -> tuple[PyTree, "Best"]:
        """After a meta-step to ``current`` with this loss: stay, or go back if the mean has risen by ``margin``."""
        known = jnp.where(jnp.isfinite(loss), loss, self.recent)
        recent = jnp.where(jnp.isfinite(self.recent), MEMORY * self.recent + (1 - MEMORY) * known, known)
        lost = recent > self.lowest + margin
        better = recent < self.lowest
        kept = _choose(better, current, self.kept)
        lowest = jnp.where(better, recent, self.lowest)
        return _choose(lost, kept, current), Best(kept, lowest, jnp.where(lost, lowest, recent))


def _choose(condition: Bool[Array, ""], yes: PyTree, no: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
