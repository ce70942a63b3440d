"""Typesets the plain-text equations of docstrings: ``W_l <- W_l + post pre^T`` becomes an equation."""

import re

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

LITERAL = re.compile(r"``([^`]+)``")
EQUATION = re.compile(r"_l\b|_\{l|\^T|\^2|<-")
"""What tells an equation from code."""
CODE = re.compile(r"[\[\]]|^\([a-zA-Z_]+,|channels|O\(")
GREEK = {"Delta", "alpha", "beta", "psi", "sigma", "tau", "theta"}
OPERATORS = {"diag", "exp", "mean", "sign"}


def latex(text: str) -> str:
    """The equation in LaTeX."""
    product = r"\\odot" if "sigma'" in text else r"\\cdot"
    text = re.sub(r"(\w)~", r"\\tilde{\1}", text)
    text = re.sub(r"(?<![\\A-Za-z])[A-Za-z]{2,}(_[A-Za-z]{2,})*", _word, text)
    text = re.sub(r"_l\b", r"_\\ell", re.sub(r"\bl\b(?=[-,}])", r"\\ell", text))
    for plain, typeset in ((r"<-", r"\\leftarrow"), (r"<=", r"\\le"), (r" \* ", f" {product} "), (r"\^T", r"^\\top")):
        text = re.sub(plain, typeset, text)
    return re.sub(r"(?<=[\w})|]) (?=[\w\\({|])", r"\\, ", re.sub(r"\bF(\d)\b", r"F_\1", text))


def _word(found: re.Match[str]) -> str:
    """A word of several letters in an equation."""
    word = found[0]
    if word in GREEK or word == "sum":
        return f"\\{word} "
    if word in OPERATORS:
        return rf"\operatorname{{{word}}}"
    if word == "dW":
        return r"\Delta W"
    return rf"\mathrm{{{word}}}".replace("_", r"\_")


def typeset(app: Sphinx, what: str, name: str, item: object, options: object, lines: list[str]) -> None:
    """Replace the equations of a docstring."""

    def one(found: re.Match[str]) -> str:
        text = " ".join(found[1].split())
        return f":math:`{latex(text).strip()}`" if EQUATION.search(text) and not CODE.search(text) else found[0]

    lines[:] = LITERAL.sub(one, "\n".join(lines)).split("\n")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Look at every docstring before the others do."""
    app.connect("autodoc-process-docstring", typeset, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
