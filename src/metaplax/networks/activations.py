"""Elementwise nonlinearities whose derivative is a function of the activity.

Feedback pathways know the activity ``y = sigma(z)`` of a layer, so each derivative here is computed from ``y``.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class AbstractActivation(eqx.Module):
    """A monotone elementwise nonlinearity ``sigma``."""

    @abstractmethod
    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Activity ``y = sigma(z)``."""

    @abstractmethod
    def derivative(self, y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """``sigma'(z)`` written as a function of the activity ``y``."""


class Softplus(AbstractActivation):
    """``sigma(z) = log(1 + exp(beta z)) / beta``, a smooth ReLU.

    Source: Shervani-Tabar & Rosenbaum (2023), Eq. 13, with ``beta = 10``.
    """

    beta: float = 10.0

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jax.nn.softplus(self.beta * z) / self.beta

    def derivative(self, y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return -jnp.expm1(-self.beta * y)


class ReLU(AbstractActivation):
    """``sigma(z) = max(z, 0)``; its derivative at 0 is taken as 0."""

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jax.nn.relu(z)

    def derivative(self, y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return (y > 0).astype(y.dtype)


class Tanh(AbstractActivation):
    """``sigma(z) = tanh(z)``."""

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.tanh(z)

    def derivative(self, y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return 1.0 - y * y


class Sigmoid(AbstractActivation):
    """``sigma(z) = 1 / (1 + exp(-z))``."""

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jax.nn.sigmoid(z)

    def derivative(self, y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return y * (1.0 - y)


class Heaviside(AbstractActivation):
    """``sigma(z) = 1`` for ``z > 0``, else 0; its derivative is zero everywhere."""

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return (z > 0).astype(z.dtype)

    def derivative(self, y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.zeros_like(y)
