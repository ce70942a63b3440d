"""Selection of parameters by iterative hard thresholding: in the end only a few differ from zero."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Int, PyTree


def hard_threshold(count: int, first: int, last: int) -> optax.GradientTransformation:
    """After each step, keep the parameters of largest magnitude and set the others to zero.

    The number of parameters that are kept falls linearly from all at step ``first`` to ``count`` at step ``last``. The
    state counts the steps. This must be the last transformation of a chain, inside ``metaplax.optim.rescaled`` if the
    magnitudes are to be compared relative to a scale of each parameter.

    Args:
        count: number of parameters that are kept in the end.
        first: index of the last step that keeps all parameters.
        last: index of the first step that keeps only ``count``.

    Raises:
        ValueError: ``count`` is below one, or ``last`` is not after ``first``.

    Source: Blumensath & Davies, Iterative hard thresholding for compressed sensing (2009).
    """
    if count < 1:
        raise ValueError(f"at least one parameter must stay, not {count}")
    if last <= first:
        raise ValueError(f"the last step of the selection must come after the first, not {last} after {first}")

    def init(params: PyTree) -> Int[Array, ""]:
        return jnp.int32(0)

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        if params is None:
            raise ValueError("hard_threshold needs the parameters")
        stepped, unravel = ravel_pytree(optax.apply_updates(params, updates))
        progress = jnp.clip((state - first) / (last - first), 0, 1)
        kept = jnp.round(stepped.size + progress * (count - stepped.size)).astype(jnp.int32)
        # By rank and not by a threshold, which several equal magnitudes would pass.
        rank = jnp.argsort(jnp.argsort(-jnp.abs(stepped)))
        mask = unravel((rank < kept).astype(stepped.dtype))
        selected = jax.tree.map(lambda keep, update, old: jnp.where(keep > 0, update, -old), mask, updates, params)
        return selected, state + 1

    return optax.GradientTransformation(init, update)
