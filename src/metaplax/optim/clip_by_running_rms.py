"""Keeping one explosive episode from deciding the next thousand."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree


class ClipByRunningRmsState(NamedTuple):
    """Running mean of the squared, clipped gradient, and how many it was taken over."""

    square: PyTree
    taken: Int[Array, ""]


def clip_by_running_rms(factor: float, decay: float = 0.95) -> optax.GradientTransformation:
    """Clip each component to a multiple of its own recent root mean square.

    A finite but huge meta-gradient would otherwise make Adam jump and then stand still, since its second moment
    remembers a thousand steps. What was clipped enters the mean as it was clipped, so the bound can grow only by
    degrees, and a resample_key change of scale gets through.

    Args:
        factor: the multiple.
        decay: of the running mean per step.

    Raises:
        ValueError: ``factor`` is not above one, so that the bound could never grow, or ``decay`` is not in ``(0, 1)``.
    """
    if not factor > 1 or not 0 < decay < 1:
        raise ValueError(f"a factor above 1 and a decay between 0 and 1 are needed, not {factor} and {decay}")

    def init(params: PyTree) -> ClipByRunningRmsState:
        return ClipByRunningRmsState(jax.tree.map(jnp.zeros_like, params), jnp.int32(0))

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        del params
        # The mean starts at zero; dividing by this makes it a mean of what it has seen.
        seen = 1 - decay ** jnp.maximum(state.taken, 1)

        def clip(component: Array, square: Array) -> Array:
            bound = jnp.where(square > 0, factor * jnp.sqrt(square / seen.astype(square.dtype)), jnp.inf)
            return jnp.clip(component, -bound, bound)

        clipped = jax.tree.map(clip, updates, state.square)
        square = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new**2, state.square, clipped)
        return clipped, ClipByRunningRmsState(square, state.taken + 1)

    return optax.GradientTransformation(init, update)
