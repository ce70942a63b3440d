"""Public names in code, in pages and docstrings alike, lead to their entries in the reference."""

import inspect
import re
import sys
from functools import cache

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.typing import ExtensionMetadata

import metaplax

ROOMS = [name for name in metaplax.__all__ if hasattr(getattr(metaplax, name), "__path__")]
NAMESPACES = [*(f"metaplax.{room}" for room in ROOMS), "metaplax.rules", "metaplax.constraints", "metaplax.modulators"]
CODE = re.compile(r"(?:mp\.|metaplax\.)?((?:\w+\.)*)(\w+)(?:\(.*\))?", re.DOTALL)


@cache
def public() -> dict[str, object]:
    """Every public object by the name under which it is documented; what two rooms share, under the first of them."""
    found: dict[str, object] = {}
    for space in NAMESPACES:
        module = getattr(metaplax, space.removeprefix("metaplax."))
        for name in module.__all__:
            value = getattr(module, name)
            if not any(value is other for other in found.values()):
                found[f"{space}.{name}"] = value
    return found


@cache
def targets() -> dict[str, str]:
    """What public names are called in a text, ``Hebb`` or ``rules.f_bio``, and their full names.

    A function is meant only if its room is named, since its name may be an everyday word.
    """
    short: dict[str, list[str]] = {}
    for full, value in public().items():
        if inspect.ismodule(value):
            continue
        room, name = full.removeprefix("metaplax.").rsplit(".", 1)
        short.setdefault(f"{room}.{name}", []).append(full)
        if name[0].isupper():
            short.setdefault(name, []).append(full)
    for name, room in metaplax.ORIGIN.items():
        if f"metaplax.{room}.{name}" in public():
            short.setdefault(name, []).append(f"metaplax.{room}.{name}")
    return {name: full[0] for name, full in short.items() if len(set(full)) == 1}


class LinkedNames(SphinxPostTransform):
    """Makes links of ``Hebb``, ``mp.rules.f_bio`` and ``Reversible()``."""

    default_priority = 5

    def run(self, **_: object) -> None:
        """Look at all code in the lines of a page."""
        here = self.env.current_document.docname
        for literal in list(self.document.findall(nodes.literal)):
            found = CODE.fullmatch(literal.astext())
            full = targets().get(found[1] + found[2]) if found else None
            if found and f"metaplax.{found[2]}" in NAMESPACES and literal.astext().startswith(("mp.", "metaplax.")):
                full = f"metaplax.{found[2]}"
            if full is None or _is_set(literal):
                continue
            link = addnodes.pending_xref(
                "", literal.deepcopy(), refdomain="py", reftype="obj", reftarget=full, refdoc=here, refexplicit=True
            )
            literal.replace_self(link)


def _is_set(literal: nodes.literal) -> bool:
    """Whether something is a link, a title or a signature already."""
    while (node := literal.parent) is not None:
        if isinstance(node, nodes.reference | addnodes.pending_xref | nodes.title | addnodes.desc_signature):
            return True
        literal = node
    return False


def plain(app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.Element) -> object:
    """A type in a signature that is not in the reference, such as one of JAX, is printed without a link."""
    is_public = re.fullmatch(r"metaplax\.\w+\.\w+", node.get("reftarget", ""))
    in_signature = node.get("refdomain") == "py" and node.get("refdoc", "").startswith("reference/")
    return content if in_signature and not is_public else None


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add the links."""
    for name in ("constraints", "modulators", "rules"):
        sys.modules[f"metaplax.{name}"] = getattr(metaplax, name)  # documented under the name that one types
    app.add_post_transform(LinkedNames)
    app.connect("missing-reference", plain)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
