"""Hard selection: in the end only a few coefficients may differ from zero."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Int, PyTree


class HardThresholdState(NamedTuple):
    """How many steps were taken."""

    taken: Int[Array, ""]


def hard_threshold(count: int, first: int, last: int) -> optax.GradientTransformation:
    """Iterative hard thresholding: after each step only the largest parameters in magnitude stay, the others are zero.

    How many stay falls linearly from all at step ``first`` to ``count`` at step ``last``. Comes last in a chain,
    inside of :func:`metaplax.training.rescaled` if parameters are to be compared in units of their own.

    Args:
        count: how many stay in the end.
        first: the last step at which all stay.
        last: the step from which on only ``count`` stay.

    Raises:
        ValueError: ``count`` is below one, or ``last`` is not after ``first``.

    Source: Blumensath & Davies, Iterative hard thresholding for compressed sensing (2009).
    """
    if count < 1:
        raise ValueError(f"at least one parameter must stay, not {count}")
    if last <= first:
        raise ValueError(f"the last step of the selection must come after the first, not {last} after {first}")

    def init(params: PyTree) -> HardThresholdState:
        del params
        return HardThresholdState(jnp.int32(0))

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        if params is None:
            raise ValueError("hard_threshold needs the parameters")
        stepped, unravel = ravel_pytree(optax.apply_updates(params, updates))
        progress = jnp.clip((state.taken - first) / (last - first), 0, 1)
        kept = jnp.round(stepped.size + progress * (count - stepped.size)).astype(jnp.int32)
        # By rank and not by a threshold, which equal magnitudes would pass together.
        rank = jnp.argsort(jnp.argsort(-jnp.abs(stepped)))
        stays = unravel((rank < kept).astype(stepped.dtype))
        selected = jax.tree.map(lambda s, update, old: jnp.where(s > 0, update, -old), stays, updates, params)
        return selected, HardThresholdState(state.taken + 1)

    return optax.GradientTransformation(init, update)
