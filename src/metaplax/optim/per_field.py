"""An outer optimiser of its own for every group of meta-parameters."""

from collections.abc import Mapping

import jax
import optax
from jaxtyping import PyTree


def per_field(optimizers: Mapping[str, optax.GradientTransformation]) -> optax.GradientTransformation:
    """One optimiser per field of the learner.

    Args:
        optimizers: by name of the field, e.g. ``{"start": optax.adam(1e-3), "plasticity": optax.adam(1e-4)}``. Fields
            that hold meta-parameters and are not named do not change.

    Raises:
        ValueError: a name is that of no field with meta-parameters (when it is first used).
    """
    still = "rest"

    def labels(parameters: PyTree) -> PyTree:
        def label(path: tuple, leaf: object) -> str:
            del leaf
            name = str(getattr(path[0], "name", still))
            return name if name in optimizers else still

        found = jax.tree_util.tree_map_with_path(label, parameters)
        missing = sorted(set(optimizers) - set(jax.tree.leaves(found)))
        if missing:
            raise ValueError(f"the learner has no meta-parameters in a field {missing[0]!r}")
        return found

    return optax.multi_transform({**optimizers, still: optax.set_to_zero()}, labels)
