"""Measures how weight updates of different examples interfere with each other."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

TINY = 1e-30
"""Squared norm below which an update counts as zero, with a cosine of zero to every other."""
HALVINGS = 14
"""How often the stretch that holds a step is halved."""


def cosine(one: Float[Array, "*shape"], other: Float[Array, "*shape"]) -> Float[Array, ""]:
    """Cosine of the angle between two arrays as vectors; zero if one of them is zero."""
    return jnp.sum(_unit(one) * _unit(other))


def descent_cosines(
    updates: Sequence[Float[Array, "n ..."]], gradients: Sequence[Float[Array, "n ..."]]
) -> Float[Array, " layers"]:
    """Mean cosine of the updates after each of ``n`` examples to the negative gradient, layer by layer.

    Args:
        updates: for each layer, the change of its weights after each example, shape ``(n, post, pre)``.
        gradients: likewise, the gradient of that example's loss.
    """
    found = [
        jnp.mean(jnp.stack([cosine(u, -g) for u, g in zip(layer, gradient, strict=True)]))
        for layer, gradient in zip(updates, gradients, strict=True)
    ]
    return jnp.stack(found)


def update_cosines(updates: Sequence[Float[Array, "n ..."]]) -> Float[Array, " layers"]:
    """Mean cosine between the updates after different examples, layer by layer."""
    found = []
    for layer in updates:
        unit = jnp.stack([_unit(update).ravel() for update in layer])
        products = unit @ unit.T
        pairs = len(layer) * (len(layer) - 1)
        found.append((jnp.sum(products) - jnp.trace(products)) / pairs)
    return jnp.stack(found)


def interference(
    changes: Float[Array, "updates n"], own: Int[Array, " updates"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean of what updates on single examples change of a quantity of these examples, and of that of the others.

    Args:
        changes: entry ``(i, j)`` is how update ``i`` changes a quantity, such as the loss, of example ``j``. Rows of
            NaN do not count.
        own: the example of each update.

    Returns:
        mean change for the same example, and for the others; NaN where no row counts.
    """
    is_own = jnp.arange(changes.shape[1])[None] == own[:, None]
    return jnp.nanmean(changes, where=is_own), jnp.nanmean(changes, where=~is_own)


def output_drift(before: Float[Array, "n outputs"], after: Float[Array, "n outputs"]) -> Float[Array, " n"]:
    """Root mean square over outputs of how they have changed, without what was added to all of them alike.

    The latter does not change the probabilities of a softmax.
    """
    return jnp.std(after - before, axis=1)


def step_to_decrease(loss: Callable[[Float[Array, ""]], Float[Array, ""]], decrease: float) -> Float[Array, ""]:
    """The shortest step along a line by which a loss falls by a given amount.

    It is looked for in steps of a factor of two from ``2**-12`` to ``2**6``, and then between two of them.

    Args:
        loss: the loss at a point of the line, as a function of how far that is from the start.
        decrease: by how much it has to fall.

    Returns:
        the step, NaN if it does not fall so much anywhere.
    """
    steps = 2.0 ** jnp.arange(-12.0, 7.0)
    goal = loss(jnp.zeros(())) - decrease
    reached = jax.lax.map(loss, steps) <= goal
    first = jnp.argmax(reached)

    def halve(ends: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        low, high = ends
        middle = (low + high) / 2
        return jax.tree.map(partial(jnp.where, loss(middle) <= goal), (low, middle), (middle, high)), None

    ends = (jnp.where(first > 0, steps[first - 1], 0.0), steps[first])
    (_, high), _ = jax.lax.scan(halve, ends, None, length=HALVINGS)
    return jnp.where(jnp.any(reached), high, jnp.nan)


def _unit(array: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    squares = jnp.sum(array**2)
    return array * jnp.where(squares > TINY, squares, jnp.inf) ** -0.5
