"""What the meta-loss charges for the coefficients themselves, so that few terms survive."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from metaplax.plasticity.coefficients import AbstractCoefficients

Scales = tuple[float, ...] | None
"""For each term, what its coefficient is divided by before it is charged for; ``None`` for the paper's scales."""


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
    """``factor * sum_r |theta_r / unit_r|`` over every coefficient; its derivative at 0 is 0.

    Source: Shervani-Tabar & Rosenbaum (2023), Eq. 6.
    """

    factor: float
    scales: Scales = None

    def __call__(self, coefficients: AbstractCoefficients) -> Float[Array, ""]:
        # JAX gives |x| a slope of one at zero; the sign times x has the slope zero that the paper asks for.
        return self.factor * _total(coefficients, self.scales, lambda x: jax.lax.stop_gradient(jnp.sign(x)) * x)


class L2(AbstractPenalty):
    """``factor * sum_r (theta_r / unit_r)^2`` over every coefficient."""

    factor: float
    scales: Scales = None

    def __call__(self, coefficients: AbstractCoefficients) -> Float[Array, ""]:
        return self.factor * _total(coefficients, self.scales, jnp.square)


class ElasticNet(AbstractPenalty):
    """The sum of :class:`L1` and :class:`L2` (Zou & Hastie, 2005)."""

    l1: float
    l2: float
    scales: Scales = None

    def __call__(self, coefficients: AbstractCoefficients) -> Float[Array, ""]:
        return L1(self.l1, self.scales)(coefficients) + L2(self.l2, self.scales)(coefficients)


def _total(coefficients: AbstractCoefficients, scales: Scales, charge) -> Float[Array, ""]:
    measured: PyTree = coefficients
    if scales is not None:
        measured = jax.tree.map(jnp.divide, coefficients, coefficients.filled(scales))
    return jnp.sum(jnp.stack([jnp.sum(charge(leaf)) for leaf in jax.tree.leaves(measured)]))
