"""Rules as equations, in plain text and in LaTeX."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True)
class PrintedTerm:
    """The notation of one term, with its sign kept apart.

    Attributes:
        name: name of the term; its coefficient is called ``theta<name>``.
        text: plain text, e.g. ``"eₗ yₗ₋₁ᵀ"``.
        latex: the same in LaTeX.
        sign: -1 if the term has a leading minus, else 1.
    """

    name: str
    text: str
    latex: str
    sign: int


def as_text(terms: Sequence[PrintedTerm], values: Sequence[float] | None, layer: int | None = None) -> str:
    """The equation ``ΔWₗ = ...`` as plain text.

    Args:
        terms: the terms.
        values: coefficients, printed with three significant digits; terms with a coefficient of exactly zero are left
            out. ``None`` prints a symbol for each coefficient.
        layer: number of the connection, if they are those of one; by default of all.
    """
    left = "ΔWₗ" if layer is None else f"ΔW{str(layer).translate(SUBSCRIPTS)}"
    return f"{left} = " + _sum([(f"θ{term.name}", term.text, term.sign) for term in terms], values, "−")


def as_latex(terms: Sequence[PrintedTerm], values: Sequence[float] | None, layer: int | None = None) -> str:
    """The same equation as LaTeX, without dollar signs."""
    names = [term.name if len(term.name) == 1 else rf"\mathrm{{{term.name}}}" for term in terms]
    written = [(rf"\theta_{{{name}}}", r"\," + term.latex, term.sign) for name, term in zip(names, terms, strict=True)]
    index = r"\ell" if layer is None else f"{{{layer}}}"
    return rf"\Delta W_{index} = " + _sum(written, values, "-", latex_number)


def latex_number(value: float) -> str:
    """A number with three significant digits in LaTeX."""
    digits, _, power = f"{value:.3g}".partition("e")
    return rf"{digits} \times 10^{{{int(power)}}}" if power else digits.replace("inf", r"\infty")


def _sum(
    terms: Sequence[tuple[str, str, int]],
    values: Sequence[float] | None,
    minus: str,
    number: Callable[[float], str] = "{:.3g}".format,
) -> str:
    """The sum of terms that are given as symbol of the coefficient, notation and sign."""
    written = ""
    for k, (symbol, body, sign) in enumerate(terms):
        value = 1.0 if values is None else values[k]
        if value == 0:
            continue
        factor = symbol if values is None else number(abs(value))
        negative = value * sign < 0
        joint = f" {minus if negative else '+'} " if written else (minus if negative else "")
        written += f"{joint}{factor} {body}"
    return written or "0"
