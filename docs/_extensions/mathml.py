"""Equations as MathML, which browsers typeset themselves: no script, no font and no picture has to be loaded."""

from docutils import nodes
from docutils.utils.math import pick_math_environment
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator


def visit_inline(translator: HTML5Translator, node: nodes.math) -> None:
    """An equation in a line."""
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """An equation of its own, which may be wider than a small screen."""
    text = node.astext()
    environment = pick_math_environment(text)
    translator.body.append('<div class="math-block">')
    wrapped = f"\\begin{{{environment}}}{text}\\end{{{environment}}}" if "align" in environment else text
    translator.body.append(tex2mathml(wrapped, as_block=True))
    translator.body.append("</div>")
    raise nodes.SkipNode


def setup(app: Sphinx) -> ExtensionMetadata:
    """Make the renderer known as ``mathml``."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
