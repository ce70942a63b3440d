"""An outer optimiser of its own for every group of meta-parameters."""

from collections.abc import Mapping

import jax
import optax
from jaxtyping import PyTree


def by_field(optimizers: Mapping[str, optax.GradientTransformation]) -> optax.GradientTransformation:
    """One optimiser per field of the learner.

    Args:
        optimizers: by name of the field, e.g. ``{"start": optax.adam(1e-3), "plasticity": optax.adam(1e-4)}``. Fields
            that hold meta-parameters and are not named do not change.
    """
    still = "rest"

    def labels(parameters: PyTree) -> PyTree:
        def label(path: tuple, leaf: object) -> str:
            del leaf
            name = str(getattr(path[0], "name", still))
            return name if name in optimizers else still

        return jax.tree_util.tree_map_with_path(label, parameters)

    return optax.multi_transform({**optimizers, still: optax.set_to_zero()}, labels)
