"""Clipping that keeps a single huge meta-gradient from dominating the following meta-steps."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree


class ClipByRunningRmsState(NamedTuple):
    """Running mean of the squared, clipped gradient, and the number of steps."""

    square: PyTree
    taken: Int[Array, ""]


def clip_by_running_rms(factor: float, decay: float = 0.95) -> optax.GradientTransformation:
    """Clip each component of the gradient to a multiple of its own running root mean square.

    Without it, a finite but huge meta-gradient makes Adam jump and then stand still, because the second moment decays
    over about a thousand steps. Gradients enter the running mean after clipping, so the bound grows only gradually, but
    it follows a lasting change of scale.

    Args:
        factor: the multiple.
        decay: decay of the running mean per step.

    Raises:
        ValueError: ``factor`` is not above one, so that the bound could never grow, or ``decay`` is not in ``(0, 1)``.
    """
    if not factor > 1 or not 0 < decay < 1:
        raise ValueError(f"a factor above 1 and a decay between 0 and 1 are needed, not {factor} and {decay}")

    def init(params: PyTree) -> ClipByRunningRmsState:
        return ClipByRunningRmsState(jax.tree.map(jnp.zeros_like, params), jnp.int32(0))

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        # Corrects for the start of the running mean at zero, as in Adam.
        correction = 1 - decay ** jnp.maximum(state.taken, 1)

        def clip(component: Array, square: Array) -> Array:
            bound = jnp.where(square > 0, factor * jnp.sqrt(square / correction.astype(square.dtype)), jnp.inf)
            return jnp.clip(component, -bound, bound)

        clipped = jax.tree.map(clip, updates, state.square)
        square = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new**2, state.square, clipped)
        return clipped, ClipByRunningRmsState(square, state.taken + 1)

    return optax.GradientTransformation(init, update)
