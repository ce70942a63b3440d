"""Measures how weight updates of different examples interfere with each other."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

TINY = 1e-30
"""Squared norm below which an update counts as zero, with a cosine of zero to every other."""


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


def interference(losses: Float[Array, "n n"], before: Float[Array, " n"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean change of the losses of examples by an update on one of them.

    Args:
        losses: entry ``(i, j)`` is the loss of example ``j`` after the update on example ``i``.
        before: losses before any update.

    Returns:
        mean change of the loss of the same example, and of those of the others; negative is better.
    """
    change = losses - before[None]
    own = jnp.mean(jnp.diagonal(change))
    pairs = change.size - len(change)
    return own, (jnp.sum(change) - jnp.trace(change)) / pairs


def _unit(array: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    squares = jnp.sum(array**2)
    return array * jnp.where(squares > TINY, squares, jnp.inf) ** -0.5
