"""Why meta-training cannot go on, in one sentence that helps."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from metaplax.tasks import Examples

CAUSES = (
    "the outer loss is not finite, as episodes explode: try a smaller meta-learning rate, smaller inner steps, or clip"
    " the meta-gradient harder",
    "the outer loss is finite, but its gradient is not: an inner loop that explodes or that takes roots of zero has no"
    " finite derivative; try fewer or smaller inner steps, or an inner optimiser with eps_root",
    "the outer loss is finite, but above the ceiling of {ceiling:g}: raise the ceiling of the Rollback, or start from a"
    " smaller loss",
)
"""What is wrong with an episode that is left out, in the order of ``cause``."""


class DivergedError(RuntimeError):
    """Too many meta-steps in a row had no episode that counts; the message is one sentence."""


def cause(loss: Float[Array, ""], gradient_norm: Float[Array, ""], ceiling: float) -> Bool[Array, "causes"]:
    """Which of ``CAUSES``, if any, is why an episode is left out.

    The norm of the gradient is taken, not just its entries: one whose square overflows would stop Adam for good.
    """
    known, is_usable = jnp.isfinite(loss), jnp.isfinite(gradient_norm)
    above = known & (loss > ceiling)
    return jnp.stack([~known, known & ~above & ~is_usable, above])


def divergence(
    streaks: Int[Array, " trials"],
    causes: Int[Array, "trials causes"],
    done: int,
    *,
    patience: int,
    ceiling: float,
    hint: Callable[[], str | None],
) -> DivergedError | None:
    """The error, if in some trial ``patience`` meta-steps in a row had no episode that counts.

    ``causes`` counts the episodes that were left out in these streaks; ``hint`` looks for a better explanation, and is
    only called if there is an error.
    """
    lost = np.asarray(streaks) >= patience
    if not lost.any():
        return None
    main = hint() or CAUSES[int(np.asarray(causes)[lost].sum(axis=0).argmax())].format(ceiling=ceiling)
    trials = ", ".join(map(str, np.flatnonzero(lost)))
    return DivergedError(
        f"meta-training diverged: {patience} meta-steps in a row up to step {done - 1} had no usable episode (trial"
        f" {trials}); {main}"
    )


def not_finite(parameters: PyTree) -> DivergedError | None:
    """The error, if a trial has ended with parameters that are not finite; every leaf has a leading axis of trials."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(parameters)]
    lost = [~np.isfinite(leaf).reshape(len(leaf), -1).all(axis=1) for leaf in leaves if leaf.dtype.kind in "fc"]
    trials = ", ".join(map(str, np.flatnonzero(np.any(lost, axis=0)))) if lost else ""
    if not trials:
        return None
    return DivergedError(
        f"meta-training diverged: its parameters are not finite after the last step (trial {trials}); try a smaller"
        " meta-learning rate, or clip the meta-gradient harder"
    )


def wrong_labels(episode: PyTree, outputs: int | None) -> str | None:
    """What is wrong with the classes of an episode, in one sentence; ``None`` if they are all among the outputs."""
    if outputs is None:
        return None
    for part in (episode.support, episode.query):
        if isinstance(part, Examples) and jnp.issubdtype(part.y.dtype, jnp.integer):
            low, high = jax.device_get((jnp.min(part.y), jnp.max(part.y)))
            if low < 0 or high >= outputs:
                return f"labels go from {low} to {high}, but the network has outputs for 0 to {outputs - 1}"
    return None
