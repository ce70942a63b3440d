"""A rule: terms, their coefficients, and who shares them."""

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
        terms: the candidate terms.
        coefficients: the meta-learned numbers in front of them.
        active: optionally, for each layer, which terms act in it, e.g. to mix rules between layers
            (Table 1 of the paper); a term that does not act gets a gradient of exactly zero.

    Raises:
        ValueError: two terms have the same name, or a row of ``active`` has the wrong length.
    """

    terms: tuple[AbstractTerm, ...]
    coefficients: AbstractCoefficients
    active: tuple[tuple[bool, ...], ...] | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        names = [term.name for term in self.terms]
        if len(set(names)) < len(names):
            raise ValueError(f"every term of a rule needs a name of its own, not {names}")
        if self.active is not None and any(len(row) != len(names) for row in self.active):
            raise ValueError(f"each layer of `active` needs one entry for each of the {len(names)} terms")

    def updates(self, layer: int, signals: Signals) -> tuple[AbstractUpdate, ...]:
        """The changes that all terms ask for in layer ``1..L``, before they are added up."""
        return tuple(
            term(signals).scaled(self.coefficients.at(layer, k))
            for k, term in enumerate(self.terms)
            if self.active is None or self.active[layer - 1][k]
        )

    def scalars(self) -> dict[str, Float[Array, ""]]:
        """``theta<name>`` (and a suffix per layer, if not shared by all) of every term."""
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
        """How the terms are written, without their coefficients."""
        return tuple(PrintedTerm(term.name, term.text, term.latex, term.sign) for term in self.terms)

    def _values(self) -> list[float] | None:
        if isinstance(self.coefficients, GlobalCoefficients):
            return [float(value) for value in self.coefficients.values]
        return None
