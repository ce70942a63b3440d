"""What the meta-loss charges for the coefficients themselves, so that few terms survive."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metaplax.plasticity.coefficients import AbstractCoefficients


class AbstractPenalty(eqx.Module):
    """A regulariser added to the outer loss."""

    @abstractmethod
    def __call__(self, coefficients: AbstractCoefficients) -> Float[Array, ""]:
        """The amount to add to the loss."""


class NoPenalty(AbstractPenalty):
    """Charges nothing."""

    def __call__(self, coefficients: AbstractCoefficients) -> Float[Array, ""]:
        del coefficients
        return jnp.zeros(())


class L1(AbstractPenalty):
    """``strength * sum_r |theta_r|`` over every coefficient; its derivative at 0 is 0.

    Source: Shervani-Tabar & Rosenbaum (2023), Eq. 6.
    """

    strength: float

    def __call__(self, coefficients: AbstractCoefficients) -> Float[Array, ""]:
        # JAX gives |x| a slope of one at zero; the sign times x has the slope zero that the paper asks for.
        leaves = jax.tree.leaves(coefficients)
        amounts = [jnp.sum(jax.lax.stop_gradient(jnp.sign(leaf)) * leaf) for leaf in leaves]
        return self.strength * jnp.sum(jnp.stack(amounts))
