"""Optimisers made of others: one for each field of the learner, or one for parameters relative to their scales."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

Fields = str | tuple[str, ...]
"""A field of the learner, or a field of a field, such as ``"feedback.mixing"``; or several that go together."""


def per_field(optimizers: Mapping[Fields, optax.GradientTransformation]) -> optax.GradientTransformation:
    """One optimiser per field of the learner, or for several fields together.

    Args:
        optimizers: optimiser of each, e.g. ``{("start", "network"): optax.adam(1e-3), "rule": optax.adam(1e-4)}``.
            Meta-parameters in other fields do not change.

    Raises:
        ValueError: a named field holds no meta-parameters (raised when the optimiser is first used).
    """
    groups = {fields if isinstance(fields, str) else " ".join(fields): step for fields, step in optimizers.items()}
    rest = "all others"

    def labels(parameters: PyTree) -> PyTree:
        def label(path: tuple, leaf: object) -> str:
            name = jax.tree_util.keystr(path, simple=True, separator=".") + "."
            return next((it for it in groups if any(name.startswith(f"{field}.") for field in it.split())), rest)

        found = jax.tree_util.tree_map_with_path(label, parameters)
        if missing := sorted(set(groups) - set(jax.tree.leaves(found))):
            raise ValueError(f"the learner has no meta-parameters in a field {missing[0]!r}")
        return found

    return optax.multi_transform({**groups, rest: optax.set_to_zero()}, labels)


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
