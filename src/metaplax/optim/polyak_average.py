"""The average of what meta-training went through, which is often better than where it ended."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree


class PolyakState(NamedTuple):
    """State of :func:`polyak_average`.

    Attributes:
        average: mean of the parameters that count; before there are any, the parameters themselves.
        taken: steps so far.
    """

    average: PyTree
    taken: Int[Array, ""]


def polyak_average(first: int, restart_every: int | None = None) -> optax.GradientTransformation:
    """Keep the running mean of the parameters, and change nothing; the last one of a chain.

    Args:
        first: index of the first step whose result counts; until then the average is where the parameters are.
        restart_every: start counting again after so many steps, from the average so far as a single number, as the
            published code of Zucchet et al. (2022) does in every epoch.

    Raises:
        ValueError: a number is too small.

    Source: Polyak & Juditsky (1992).
    """
    if first < 0 or (restart_every is not None and restart_every < 1):
        raise ValueError(f"an average cannot start at step {first} or start again every {restart_every} steps")

    def init(params: PyTree) -> PolyakState:
        return PolyakState(jax.tree.map(jnp.asarray, params), jnp.int32(0))

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, PolyakState]:
        counted = state.taken - first
        if restart_every is not None:
            # The average that an epoch starts with counts as one of its numbers.
            counted = jnp.where(counted < restart_every, counted, 1 + counted % restart_every)
        weight = 1 / (jnp.maximum(counted, 0) + 1)
        now = eqx.apply_updates(params, updates)
        average = jax.tree.map(lambda mean, new: mean + weight * (new - mean), state.average, now)
        return updates, PolyakState(average, state.taken + 1)

    return optax.GradientTransformation(init, update)


def averaged_params(optimizer_state: PyTree) -> PyTree | None:
    """The average that an optimiser's state holds; ``None`` if it holds none."""
    nodes = jax.tree.leaves(optimizer_state, is_leaf=lambda node: isinstance(node, PolyakState))
    found = [node.average for node in nodes if isinstance(node, PolyakState)]
    return found[0] if found else None
