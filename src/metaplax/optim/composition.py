"""Optimisers made of others: one for each field of the learner, or one for parameters relative to their scales."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree


def per_field(optimizers: Mapping[str, optax.GradientTransformation]) -> optax.GradientTransformation:
    """One optimiser per field of the learner.

    Args:
        optimizers: optimiser of each field, e.g. ``{"start": optax.adam(1e-3), "plasticity": optax.adam(1e-4)}``.
            Meta-parameters in other fields do not change.

    Raises:
        ValueError: a named field holds no meta-parameters (raised when the optimiser is first used).
    """
    rest = "rest"

    def labels(parameters: PyTree) -> PyTree:
        def label(path: tuple, leaf: object) -> str:
            name = str(getattr(path[0], "name", rest))
            return name if name in optimizers else rest

        found = jax.tree_util.tree_map_with_path(label, parameters)
        missing = sorted(set(optimizers) - set(jax.tree.leaves(found)))
        if missing:
            raise ValueError(f"the learner has no meta-parameters in a field {missing[0]!r}")
        return found

    return optax.multi_transform({**optimizers, rest: optax.set_to_zero()}, labels)


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
