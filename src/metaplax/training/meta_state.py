"""What meta-training carries from step to step."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree


class MetaState(eqx.Module):
    """What meta-training carries from step to step; outside of one trial every leaf has a leading axis of trials.

    Attributes:
        parameters: meta-parameters.
        optimizer: state of the outer optimiser.
        rollback: state of the ``Rollback``, if there is one.
        streak: meta-steps in a row in which every episode exploded.
        causes: why episodes of these were left out, how many for each cause.
        masked: episodes left out so far.
        carried: what the estimator carries, for every episode of the batch; ``None`` for most estimators.
    """

    parameters: PyTree
    optimizer: PyTree
    rollback: PyTree
    streak: Int[Array, "*trials"]
    causes: Int[Array, "*trials causes"]
    masked: Int[Array, "*trials"]
    carried: PyTree = None

    @property
    def outer(self) -> tuple[PyTree, PyTree]:
        """Meta-parameters, and the state of the outer optimiser."""
        return self.parameters, self.optimizer


def masked_sum(values: Array, mask: Bool[Array, " episodes"]) -> Array:
    """Sum over the leading axis of the entries that count; NaN in the others does not leak."""
    shape = (-1,) + (1,) * (values.ndim - 1)
    return jnp.sum(jnp.where(mask.reshape(shape), values, 0), axis=0)
