"""What becomes of the updates that a rule asks for: the factor of an example, and the constraint of a connection."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metaplax.networks import Connection
from metaplax.plasticity import AbstractUpdate, Changes, Decay, Replace, apply


def constrained(connection: Connection, weight: Float[Array, "post pre"], updates: Changes) -> Changes:
    """The updates of one connection, such that its constraint holds after them."""
    constraint = connection.constraint
    if constraint is None:
        return updates
    mask = constraint.mask(connection.wiring.shape)
    if mask is None:
        return (Replace(constraint(apply(weight, updates)), per_synapse=True),)
    exists = jnp.asarray(mask, weight.dtype)
    # What is absent is zero, and a decay leaves it so.
    return tuple(update if isinstance(update, Decay) else update.scaled(exists) for update in updates)


def scaled(asked: tuple[Changes, ...], factor: Float[Array, "..."] | None) -> tuple[Changes, ...]:
    """The updates of all connections times the factor that an example comes with; as they are without one."""
    is_update = lambda node: isinstance(node, AbstractUpdate)  # noqa: E731
    return asked if factor is None else jax.tree.map(lambda it: it.scaled(factor), asked, is_leaf=is_update)
