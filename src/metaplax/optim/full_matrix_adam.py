"""Adam with the whole second moment of the gradient, for few parameters whose effects are nearly collinear."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

MOST = 1000
"""Parameters at most: the second moment has the square of that."""


class FullMatrixState(NamedTuple):
    """Steps taken, and the running means of the gradient and of its outer product with itself."""

    steps: Int[Array, ""]
    mean: Float[Array, " n"]
    second: Float[Array, "n n"]


def full_matrix_adam(
    learning_rate: float | optax.Schedule, b1: float = 0.9, b2: float = 0.99, floor: float = 1e-3
) -> optax.GradientTransformation:
    """Adam whose second moment is a matrix: the step is ``C^(-1/2) m``, in place of ``m / sqrt(v)``.

    It turns and scales the space of parameters, so that directions in which the loss hardly changes are gone along as
    fast as others. Terms of a polynomial rule have nearly the same effect while activity hardly varies, which Adam
    tells apart only after many more steps.

    Args:
        learning_rate: size of the step, or a schedule of it.
        b1: decay of the mean of the gradient.
        b2: decay of its second moment.
        floor: smallest square root of an eigenvalue that counts, relative to the largest one.

    Raises:
        ValueError: there are more than 1,000 parameters (raised when the optimiser is first used).

    Source: Duchi, Hazan & Singer (2011), the full-matrix form; Kingma & Ba (2015).
    """

    def init(params: PyTree) -> FullMatrixState:
        flat = ravel_pytree(params)[0]
        if flat.size > MOST:
            raise ValueError(f"the full second moment of {flat.size:,} parameters is too large: the limit is {MOST:,}")
        return FullMatrixState(jnp.int32(0), jnp.zeros_like(flat), jnp.zeros((flat.size, flat.size), flat.dtype))

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, FullMatrixState]:
        del params
        gradient, unravel = ravel_pytree(updates)
        count = state.steps + 1
        mean = b1 * state.mean + (1 - b1) * gradient
        second = b2 * state.second + (1 - b2) * gradient[:, None] * gradient[None]
        values, directions = jnp.linalg.eigh(second / (1 - b2**count))
        sizes = jnp.sqrt(jnp.maximum(values, 0.0))
        # A gradient of exactly zero moves nothing.
        scale = sizes + floor * sizes[-1] + jnp.finfo(sizes.dtype).tiny
        step = directions @ ((directions.T @ mean) / (1 - b1**count) / scale)
        return unravel(-step), FullMatrixState(count, mean, second)

    rate = learning_rate
    schedule = optax.scale_by_schedule(rate) if callable(rate) else optax.scale(rate)
    return optax.chain(optax.GradientTransformation(init, update), schedule)
