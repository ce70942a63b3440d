"""Meta-learning parameters in scales of their own."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree


def rescaled(optimizer: optax.GradientTransformation, scales: PyTree) -> optax.GradientTransformation:
    """Run an optimiser on parameters divided by scales of their own.

    With ``c = theta / scales`` it sees the gradient with respect to ``c`` and steps in ``c``.

    Args:
        optimizer: any optimiser.
        scales: the structure of the parameters.
    """

    def init(params: PyTree) -> PyTree:
        return optimizer.init(jax.tree.map(jnp.divide, params, scales))

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        measured = None if params is None else jax.tree.map(jnp.divide, params, scales)
        updates, state = optimizer.update(jax.tree.map(jnp.multiply, updates, scales), state, measured)
        back = jax.tree.map(jnp.multiply, updates, scales)
        if params is not None:
            # What is to be exactly zero must not be missed by the rounding of the scales.
            back = jax.tree.map(lambda b, u, m, p: jnp.where(u == -m, -p, b), back, updates, measured, params)
        return back, state

    return optax.GradientTransformation(init, update)
