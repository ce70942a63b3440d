"""Optimisation of parameters relative to a scale of each."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree


def rescaled(optimizer: optax.GradientTransformation, scales: PyTree) -> optax.GradientTransformation:
    """Run an optimiser on the parameters ``theta`` divided by their scales: ``c = theta / scales``.

    The optimiser receives the gradient with respect to ``c``, and its updates are steps of ``c``.

    Args:
        optimizer: any optimiser.
        scales: positive scale of each parameter, in the structure of the parameters.
    """

    def init(params: PyTree) -> PyTree:
        return optimizer.init(jax.tree.map(jnp.divide, params, scales))

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        divided = None if params is None else jax.tree.map(jnp.divide, params, scales)
        updates, state = optimizer.update(jax.tree.map(jnp.multiply, updates, scales), state, divided)
        back = jax.tree.map(jnp.multiply, updates, scales)
        if params is not None:
            # A parameter that the optimiser sets to exactly zero must be zero despite rounding.
            back = jax.tree.map(lambda b, u, d, p: jnp.where(u == -d, -p, b), back, updates, divided, params)
        return back, state

    return optax.GradientTransformation(init, update)
