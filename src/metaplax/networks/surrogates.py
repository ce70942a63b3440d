"""Surrogate derivatives of spikes, whose true derivative is zero almost everywhere."""

from abc import abstractmethod
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class AbstractSurrogate(eqx.Module):
    """A pseudo-derivative of a spike with respect to the distance of the voltage from the threshold.

    To write your own, subclass it with a ``__call__``; fields must be Python numbers.
    """

    @abstractmethod
    def __call__(self, distance: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The pseudo-derivative at this distance from the threshold, which is positive above it."""


class FastSigmoid(AbstractSurrogate):
    """``1 / (slope |distance| + 1)^2``, the derivative of a fast sigmoid (Zenke & Ganguli, 2018)."""

    slope: float = 100.0

    def __call__(self, distance: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return 1 / (self.slope * jnp.abs(distance) + 1) ** 2


class Triangular(AbstractSurrogate):
    """``height * max(0, 1 - |distance| / width)`` (Bellec et al., 2020)."""

    height: float = 0.3
    width: float = 0.1

    def __call__(self, distance: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return self.height * jnp.maximum(0.0, 1 - jnp.abs(distance) / self.width)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def spike(distance: Float[Array, "*shape"], surrogate: AbstractSurrogate) -> Float[Array, "*shape"]:
    """One where the distance from the threshold is positive, zero elsewhere; its derivative is the surrogate."""
    return (distance > 0).astype(distance.dtype)


@spike.defjvp
def _spike_jvp(surrogate, primals, tangents):
    (distance,), (change,) = primals, tangents
    return spike(distance, surrogate), surrogate(distance) * change
