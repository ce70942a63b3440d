"""A term with a meta-learned size."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from metaplax.plasticity.memory import AbstractSameMemoryTerm, called, logarithm
from metaplax.plasticity.signals import Signals
from metaplax.plasticity.terms import AbstractTerm
from metaplax.plasticity.updates import AbstractUpdate


class Scaled(AbstractSameMemoryTerm):
    """Another term times a positive number, which is meta-learned as its logarithm.

    Where the coefficient of the term is held at 1 or -1, see ``Rule.hold``, meta-learning finds how strong the term is
    and never turns its sign around.

    Args:
        term: the other term.
        size: where the number starts.

    Raises:
        ValueError: the number is not positive.
    """

    term: AbstractTerm
    log_size: Float[Array, ""]

    def __init__(self, term: AbstractTerm, size: float = 1.0):
        if not size > 0:
            raise ValueError(f"the size of a term must be positive, not {size}")
        self.term, self.log_size = term, logarithm(size)

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return f"{self.term.name}Scaled"

    @property
    def text(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return f"s {self.term.text}"

    @property
    def latex(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return rf"s\, {self.term.latex}"

    @property
    def size(self) -> Float[Array, ""]:
        """The number."""
        return jnp.exp(self.log_size)

    def __call__(self, signals: Signals, memory: PyTree) -> tuple[AbstractUpdate, Any]:
        update, memory = called(self.term, signals, memory)
        return update.scaled(self.size), memory
