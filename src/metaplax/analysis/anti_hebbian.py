"""A familiarity memory without decay: an anti-Hebbian network, which is overwritten the longer a stream goes on.

Source: Bogacz & Brown, Hippocampus 13:494-524, 2003, in the form of Tyulmankov, Yang & Abbott (2022).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def anti_hebbian(
    weight: Float[Array, "n n"], x: Float[Array, " n"], rate: float
) -> tuple[Float[Array, "n n"], Float[Array, ""]]:
    """One item of the network: the weights after it, and how novel it was.

    The half of the units with the largest input is active; the rows of the weights have mean 0 and a sum of squares of
    1. It is novel to the extent that active units have more input than the others.

    Args:
        weight: the weights before it.
        x: the item, with components of -1 and 1.
        rate: size of a change, of the weights of all units together.
    """
    h = weight @ x
    active = h > jnp.median(h)
    weight = weight - rate / len(h) * jnp.outer(active.astype(h.dtype), x)
    weight = weight - jnp.mean(weight, axis=1, keepdims=True)
    weight = weight / (jnp.std(weight, axis=1, keepdims=True) * len(h) ** 0.5)
    return weight, jnp.sum(jnp.where(active, h, -h))


def novelties(weight: Float[Array, "n n"], items: Float[Array, "items n"], rate: float) -> Float[Array, " items"]:
    """How novel every item of a stream is, see ``anti_hebbian``."""
    return jax.lax.scan(lambda before, x: anti_hebbian(before, x, rate), weight, items)[1]
