"""Scales of coefficients in which one meta-learning rate is safe for all of them.

The effect of the terms of a rule differs by orders of magnitude: with one meta-learning rate for all, a step that is
modest for one coefficient makes every episode explode through another. Therefore it is measured first, term by term,
how large a coefficient can get before episodes explode, and no meta-step may go further than a twentieth of that.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from metaplax.learners import PlasticLearner
from metaplax.tasks import AbstractTask

SIZES = 10.0 ** np.arange(-5.0, 0.25, 0.5)
"""Coefficients that are tried."""

EXPLODED = 1.5
"""An episode whose loss has grown by this factor counts as exploded."""

STEPS = 20
"""Fewest meta-steps in the same direction from the start to where episodes explode."""


def stability_radii(
    learner: PlasticLearner, tasks: AbstractTask, key: Key[Array, ""], episodes: int = 2
) -> tuple[float, ...]:
    """For each term, the smallest coefficient of either sign that, added to the rule, makes an episode explode.

    An episode has exploded if its outer loss is not finite, or 1.5 times that without the addition. Coefficients
    are tried on a grid of half powers of ten from 1e-5 to 1, each with so many ``episodes``; no inner loop is
    differentiated. Gives one number of the grid per term, or infinity where even a coefficient of one does no harm.
    """
    count = len(learner.rule.terms)
    start = learner.rule.coefficients

    def worst(addition: Float[Array, " terms"]) -> Float[Array, ""]:
        added = jax.tree.map(jnp.add, start, start.filled(addition))
        changed = eqx.tree_at(lambda learner: learner.rule.coefficients, learner, added)

        def loss(key: Key[Array, ""]) -> Float[Array, ""]:
            task_key, learner_key = jax.random.split(key)
            return changed.run(tasks.sample(task_key), learner_key)[0]

        return jnp.max(jax.lax.map(loss, jax.random.split(key, episodes)))

    tried = jnp.asarray(np.concatenate([[0.0], SIZES, -SIZES]), jnp.result_type(float))
    measure = jax.jit(lambda direction: jax.lax.map(worst, jnp.outer(tried, direction)))
    return tuple(_first_explosion(np.asarray(measure(direction))) for direction in jnp.eye(count, dtype=tried.dtype))


def _first_explosion(losses: np.ndarray) -> float:
    """The radius, from the losses without addition, with positive and with negative ones."""
    usual, positive, negative = losses[0], *np.split(losses[1:], 2)
    harmless = (positive < EXPLODED * usual) & (negative < EXPLODED * usual)
    return float("inf") if harmless.all() else float(f"{SIZES[np.argmin(harmless)]:.3g}")


def stable_scales(
    learner: PlasticLearner, tasks: AbstractTask, key: Key[Array, ""], meta_learning_rate: float
) -> tuple[float, ...]:
    """Scales in which a step of the size of the meta-learning rate is safe for every coefficient.

    One number per term: 1 where twenty unscaled steps stay within the stability radius, and less where they do not.
    """
    radii = stability_radii(learner, tasks, key)
    return tuple(float(f"{min(1.0, radius / (STEPS * meta_learning_rate)):.3g}") for radius in radii)
