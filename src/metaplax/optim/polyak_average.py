"""Polyak averaging: the mean of the parameters over many steps, which is often better than the last ones."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree


class PolyakState(NamedTuple):
    """State of ``polyak_average``.

    Attributes:
        average: mean of the parameters from step ``first`` on; before that step, the current parameters.
        taken: number of steps.
    """

    average: PyTree
    taken: Int[Array, ""]


def polyak_average(first: int, restart_every: int | None = None) -> optax.GradientTransformation:
    """Keep the running mean of the parameters without changing the updates; must be the last one of a chain.

    ``averaged_params`` returns the mean.

    Args:
        first: index of the first step whose result is averaged; before it the average equals the parameters.
        restart_every: number of steps after which averaging restarts, with the average so far as one of the averaged
            values, as the published code of Zucchet et al. (2022) does in every epoch; by default it never restarts.

    Raises:
        ValueError: ``first`` is negative or ``restart_every`` is below one.

    Source: Polyak & Juditsky (1992).
    """
    if first < 0 or (restart_every is not None and restart_every < 1):
        raise ValueError(f"an average cannot start at step {first} or start again every {restart_every} steps")

    def init(params: PyTree) -> PolyakState:
        return PolyakState(jax.tree.map(jnp.asarray, params), jnp.int32(0))

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, PolyakState]:
        counted = state.taken - first
        if restart_every is not None:
            # The average at a restart counts as one value.
            counted = jnp.where(counted < restart_every, counted, 1 + counted % restart_every)
        weight = 1 / (jnp.maximum(counted, 0) + 1)
        now = eqx.apply_updates(params, updates)
        average = jax.tree.map(lambda mean, new: mean + weight * (new - mean), state.average, now)
        return updates, PolyakState(average, state.taken + 1)

    return optax.GradientTransformation(init, update)


def averaged_params(optimizer_state: PyTree) -> PyTree | None:
    """The average in the state of an optimiser with ``polyak_average``; ``None`` if it has none."""
    nodes = jax.tree.leaves(optimizer_state, is_leaf=lambda node: isinstance(node, PolyakState))
    found = [node.average for node in nodes if isinstance(node, PolyakState)]
    return found[0] if found else None
