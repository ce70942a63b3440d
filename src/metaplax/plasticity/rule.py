"""A plasticity rule: a sum of terms with meta-learned coefficients."""

import equinox as eqx
from jaxtyping import Array, Float

from metaplax.plasticity.coefficients import AbstractCoefficients, GlobalCoefficients
from metaplax.plasticity.equation import PrintedTerm, as_latex, as_text
from metaplax.plasticity.signals import Signals
from metaplax.plasticity.terms import AbstractTerm
from metaplax.plasticity.updates import AbstractUpdate


class Rule(eqx.Module):
    """``Delta W_l = sum_r theta_r F_r``: a sum of plasticity terms.

    Args:
        terms: the terms.
        coefficients: their meta-learned coefficients.
        active: for each layer, which terms act in it, e.g. to use different rules in different layers (Table 1 of
            Shervani-Tabar & Rosenbaum, 2023); by default all. The coefficient of a term that acts in no layer has a
            gradient of exactly zero.

    Raises:
        ValueError: two terms have the same name, or a row of ``active`` has the wrong length.
    """

    terms: tuple[AbstractTerm, ...]
    coefficients: AbstractCoefficients
    active: tuple[tuple[bool, ...], ...] | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        names = [term.name for term in self.terms]
        if len(set(names)) < len(names):
            raise ValueError(f"every term of a rule needs a name of its own, but the names are {names}")
        if self.active is not None and any(len(row) != len(names) for row in self.active):
            raise ValueError(f"each layer of `active` needs one entry for each of the {len(names)} terms")

    def updates(self, layer: int, signals: Signals) -> tuple[AbstractUpdate, ...]:
        """The updates of all active terms in layer ``1..L``, times their coefficients."""
        return tuple(
            term(signals).scaled(self.coefficients.at(layer, k))
            for k, term in enumerate(self.terms)
            if self.active is None or self.active[layer - 1][k]
        )

    def scalars(self) -> dict[str, Float[Array, ""]]:
        """The coefficient of every term as ``theta<name>``, with a suffix per layer unless all layers share it."""
        return {
            f"theta{term.name}{suffix}": value
            for k, term in enumerate(self.terms)
            for suffix, value in self.coefficients.scalars(k).items()
        }

    def __str__(self) -> str:
        return as_text(self.printed(), self._values())

    def latex(self) -> str:
        """The rule as a LaTeX equation."""
        return as_latex(self.printed(), self._values())

    def printed(self) -> tuple[PrintedTerm, ...]:
        """The notation of the terms, without their coefficients."""
        return tuple(PrintedTerm(term.name, term.text, term.latex, term.sign) for term in self.terms)

    def _values(self) -> list[float] | None:
        if isinstance(self.coefficients, GlobalCoefficients):
            return [float(value) for value in self.coefficients.values]
        return None
