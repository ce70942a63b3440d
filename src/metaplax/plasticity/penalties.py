"""Penalties on the coefficients of a rule, which meta-training adds to the outer loss, e.g. to select few terms."""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from metaplax.plasticity.coefficients import AbstractCoefficients

Scales = tuple[float, ...] | None
"""The scale of each term, by which its coefficients are divided; ``None``, as in the paper, divides by nothing."""


class AbstractPenalty(eqx.Module):
    """A regulariser added to the outer loss."""

    @abstractmethod
    def __call__(self, coefficients: AbstractCoefficients) -> Float[Array, ""]:
        """The amount to add to the loss."""


class NoPenalty(AbstractPenalty):
    """Adds nothing to the outer loss."""

    def __call__(self, coefficients: AbstractCoefficients) -> Float[Array, ""]:
        return jnp.zeros(())


class L1(AbstractPenalty):
    """``factor * sum_r |theta_r / scale_r|`` over every coefficient; its derivative at 0 is 0.

    Args:
        factor: weight of the penalty in the outer loss.
        scales: scale of each term.

    Source: Shervani-Tabar & Rosenbaum (2023), Eq. 6.
    """

    factor: float
    scales: Scales = None

    def __call__(self, coefficients: AbstractCoefficients) -> Float[Array, ""]:
        # The derivative of |x| at zero is one in JAX; that of x times its constant sign is zero, as in the paper.
        return self.factor * _total(coefficients, self.scales, lambda x: jax.lax.stop_gradient(jnp.sign(x)) * x)


class L2(AbstractPenalty):
    """``factor * sum_r (theta_r / scale_r)^2`` over every coefficient.

    Args:
        factor: weight of the penalty in the outer loss.
        scales: scale of each term.
    """

    factor: float
    scales: Scales = None

    def __call__(self, coefficients: AbstractCoefficients) -> Float[Array, ""]:
        return self.factor * _total(coefficients, self.scales, jnp.square)


class ElasticNet(AbstractPenalty):
    """The sum of ``L1`` and ``L2`` (Zou & Hastie, 2005).

    Args:
        l1: factor of the L1 part.
        l2: factor of the L2 part.
        scales: scale of each term.
    """

    l1: float
    l2: float
    scales: Scales = None

    def __call__(self, coefficients: AbstractCoefficients) -> Float[Array, ""]:
        return L1(self.l1, self.scales)(coefficients) + L2(self.l2, self.scales)(coefficients)


def _total(coefficients: AbstractCoefficients, scales: Scales, penalty: Callable[[Array], Array]) -> Float[Array, ""]:
    """The sum of an elementwise penalty over all coefficients, divided by their scales."""
    divided: PyTree = coefficients
    if scales is not None:
        divided = jax.tree.map(jnp.divide, coefficients, coefficients.filled(scales))
    return jnp.sum(jnp.stack([jnp.sum(penalty(leaf)) for leaf in jax.tree.leaves(divided)]))
