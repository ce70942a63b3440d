"""A separate outer optimiser for each field of the learner."""

from collections.abc import Mapping

import jax
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
