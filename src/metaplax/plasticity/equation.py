"""How a rule is written down, as plain text and as LaTeX."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PrintedTerm:
    """One term as it is written, with its sign taken out.

    Attributes:
        name: what its coefficient is called: ``theta<name>``.
        text: plain text, e.g. ``"eₗ yₗ₋₁ᵀ"``.
        latex: the same in LaTeX.
        sign: -1 if the term has a leading minus, else 1.
    """

    name: str
    text: str
    latex: str
    sign: int


def as_text(terms: Sequence[PrintedTerm], values: Sequence[float] | None) -> str:
    """``ΔWₗ = ...`` with three significant digits, or with symbols where ``values`` is ``None``.

    Terms whose coefficient is exactly zero are left out.
    """
    symbols = [f"θ{term.name}" for term in terms]
    return "ΔWₗ = " + _sum([term.text for term in terms], [term.sign for term in terms], symbols, values, "−")


def as_latex(terms: Sequence[PrintedTerm], values: Sequence[float] | None) -> str:
    """The same as LaTeX, without dollar signs."""
    symbols = [rf"\theta_{{{term.name}}}" for term in terms]
    bodies = [r"\," + term.latex for term in terms]
    return r"\Delta W_\ell = " + _sum(bodies, [term.sign for term in terms], symbols, values, "-")


def _sum(
    bodies: Sequence[str], signs: Sequence[int], symbols: Sequence[str], values: Sequence[float] | None, minus: str
) -> str:
    written = ""
    for k, (body, sign) in enumerate(zip(bodies, signs, strict=True)):
        value = 1.0 if values is None else values[k]
        if value == 0:
            continue
        factor = symbols[k] if values is None else f"{abs(value):.3g}"
        negative = value * sign < 0
        joint = f" {minus if negative else '+'} " if written else (minus if negative else "")
        written += f"{joint}{factor} {body}"
    return written or "0"
