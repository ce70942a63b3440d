"""What the weights of one connection must be: signs, zeros, bounds, norms; kept to the bit by every update.

Available as ``mp.constraints``. Rows of a matrix of weights belong to post-synaptic neurons, columns to pre-synaptic
ones. A constraint is applied to the weights when they are drawn and after every update, so that the forward pass,
feedback, plasticity terms and analysis all see the same weights.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

__all__ = ["AbstractConstraint", "Both", "Bounds", "Dale", "Norm", "Sparse"]

Matrix = Float[Array, "post pre"]


class AbstractConstraint(eqx.Module):
    """A set of allowed matrices, and how to come back to it."""

    @abstractmethod
    def __call__(self, weight: Matrix) -> Matrix:
        """The allowed weights nearest to these; weights that are allowed come back bit for bit."""

    def start(self, weight: Matrix) -> Matrix:
        """Allowed weights to start with, made of freely drawn ones; by default the nearest."""
        return self(weight)

    def mask(self, shape: tuple[int, int]) -> Bool[np.ndarray, "post pre"] | None:
        """Which synapses exist, if the constraint says no more than that; ``None`` if it says something else.

        Updates are then multiplied by the mask, so that they can still be undone.
        """
        return None

    def __and__(self, other: "AbstractConstraint") -> "Both":
        return Both(self, other)


class Both(AbstractConstraint):
    """One constraint, then another; made by ``first & second``. The second must keep what the first asks for."""

    first: AbstractConstraint
    second: AbstractConstraint

    def __call__(self, weight: Matrix) -> Matrix:
        return self.second(self.first(weight))

    def start(self, weight: Matrix) -> Matrix:
        return self.second.start(self.first.start(weight))

    def mask(self, shape):
        first, second = self.first.mask(shape), self.second.mask(shape)
        return None if first is None or second is None else first & second


class Dale(AbstractConstraint):
    """Every pre-synaptic neuron is excitatory or inhibitory: its synapses have one sign, or are silent.

    An update that would turn a synapse around leaves it at zero, from where it can grow again. A start is drawn with
    the absolute values of the free one.

    Args:
        excitatory: fraction of the pre-synaptic neurons that are excitatory; they come first.
        columns: number of pre-synaptic neurons that have a sign, from the first; by default all. Leave out the column
            of biases with it.

    Raises:
        ValueError: the fraction is not in [0, 1].
    """

    excitatory: float = 0.8
    columns: int | None = None

    def __check_init__(self):
        if not 0 <= self.excitatory <= 1:
            raise ValueError(f"the fraction of excitatory neurons is in [0, 1], not {self.excitatory}")

    def signs(self, pre: int) -> Float[Array, " pre"]:
        """1 for excitatory, -1 for inhibitory and 0 for neurons without a sign."""
        signed = pre if self.columns is None else self.columns
        number = jnp.arange(pre)
        return jnp.where(number < signed, jnp.where(number < round(self.excitatory * signed), 1.0, -1.0), 0.0)

    def __call__(self, weight: Matrix) -> Matrix:
        sign = self.signs(weight.shape[1])[None]
        return jnp.where(sign * weight < 0, jnp.zeros_like(weight), weight)

    def start(self, weight: Matrix) -> Matrix:
        sign = self.signs(weight.shape[1])[None]
        return jnp.where(sign == 0, weight, sign * jnp.abs(weight))


class Sparse(AbstractConstraint):
    """Only some synapses exist: a random fraction, or those of a mask. The others are zero and stay zero.

    Args:
        density: fraction of synapses that exist, drawn once from ``seed``; a given mask takes its place.
        seed: of the drawn mask.
        given: boolean matrix ``(post, pre)``.

    Raises:
        ValueError: the density is not in (0, 1].
    """

    # Static, so that the mask is a constant and updates can be undone.
    density: float = eqx.field(static=True, default=0.1)
    seed: int = 0
    given: tuple[tuple[bool, ...], ...] | None = eqx.field(
        static=True, default=None, converter=lambda rows: None if rows is None else tuple(map(_booleans, rows))
    )

    def __check_init__(self):
        if not 0 < self.density <= 1:
            raise ValueError(f"the fraction of synapses that exist is in (0, 1], not {self.density}")

    def mask(self, shape):
        if self.given is None:
            return np.random.default_rng(self.seed).random(shape) < self.density
        if np.shape(self.given) != shape:
            raise ValueError(f"a mask of shape {np.shape(self.given)} does not fit weights of shape {shape}")
        return np.array(self.given)

    def __call__(self, weight: Matrix) -> Matrix:
        return jnp.where(self.mask((weight.shape[0], weight.shape[1])), weight, jnp.zeros_like(weight))


class Bounds(AbstractConstraint):
    """Weights in ``[low, high]``.

    Raises:
        ValueError: the lower bound is not below the upper one.
    """

    low: float = -1.0
    high: float = 1.0

    def __check_init__(self):
        if not self.low < self.high:
            raise ValueError(f"the lower bound must be below the upper one, not {self.low} and {self.high}")

    def __call__(self, weight: Matrix) -> Matrix:
        return jnp.clip(weight, self.low, self.high)


class Norm(AbstractConstraint):
    """The Euclidean norm of all synapses of a post-synaptic neuron is at most ``largest``.

    Raises:
        ValueError: the norm is not positive.
    """

    largest: float = 1.0

    def __check_init__(self):
        if not self.largest > 0:
            raise ValueError(f"the largest norm must be positive, not {self.largest}")

    def __call__(self, weight: Matrix) -> Matrix:
        square = jnp.sum(weight**2, axis=1, keepdims=True)
        is_longer = square > self.largest**2
        # The square root of a row within bounds is never differentiated: at zero it has no derivative.
        scale = self.largest * jax.lax.rsqrt(jnp.where(is_longer, square, 1.0))
        return jnp.where(is_longer, scale * weight, weight)


def _booleans(row) -> tuple[bool, ...]:
    return tuple(bool(entry) for entry in row)
