"""Signatures as they are written in the source: ``Float[Array, "out in"]``, and defaults as expressions.

Python itself shows what annotations and defaults have become: unions of private types, addresses of functions.
"""

import ast
import dataclasses
import inspect
import pkgutil
import textwrap
from functools import cache
from importlib import import_module

import public_names
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

import metaplax

TYPES = (ast.Subscript, ast.BinOp)
"""What types are written as."""
BUILTIN = {inspect.cleandoc(kind.__doc__ or "").splitlines()[0] for kind in (bool, int, float, str, tuple, dict)}
"""How the docstrings of plain values begin."""


@cache
def assigned() -> dict[str, list[tuple[object, ast.expr, str]]]:
    """What is assigned at the top of modules: by name, the objects, expressions and the strings that follow them."""
    found: dict[str, list[tuple[object, ast.expr, str]]] = {}
    for info in pkgutil.walk_packages(metaplax.__path__, "metaplax."):
        if "__main__" in info.name or info.name.startswith("metaplax.cli"):
            continue
        module = import_module(info.name)
        body = ast.parse(inspect.getsource(module)).body
        for node, after in zip(body, [*body[1:], None], strict=True):
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                continue
            name = ast.unparse(node.target if isinstance(node, ast.AnnAssign) else node.targets[0])
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            text = inspect.cleandoc(str(after.value.value)) if is_text else ""
            found.setdefault(name, []).append((getattr(module, name, None), node.value, text))
    return found


@cache
def aliases() -> dict[str, ast.expr]:
    """Types that have a name of their own in the source, such as ``Matrix``, and are not public."""
    known = {full.rsplit(".", 1)[1] for full in public_names.public()}
    return {
        name: expression
        for name, ((_, expression, _), *others) in assigned().items()
        if name[:1].isupper() and not name.isupper() and name not in known and not others
        if isinstance(expression, TYPES)
    }


class Spelled(ast.NodeTransformer):
    """An annotation whose aliases are spelled out, and whose public names are given in full."""

    def __init__(self, module: str):
        self.names = vars(import_module(module))

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """A shape without the space that tells linters from what it is."""
        return ast.Constant(node.value.strip()) if isinstance(node.value, str) else node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """A name in full, if it is public, and what it stands for, if it is an alias."""
        value = self.names.get(node.id)
        for full, known in public_names.public().items():
            if known is value and full.endswith(f".{node.id}"):
                return ast.parse(f"~{full}", mode="eval").body
        if node.id in aliases() and not inspect.isclass(value):
            return self.visit(ast.parse(ast.unparse(aliases()[node.id]), mode="eval").body)
        return node


def spelled(annotation: ast.expr | None, module: str) -> ast.expr | None:
    """An annotation to be shown; ``None`` if there is none."""
    if annotation is None:
        return None
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    return Spelled(module).visit(annotation)


def plain(default: ast.expr | None, names: dict[str, object]) -> ast.expr | None:
    """A default to be shown: the number or text itself, where the source has a name for it."""
    value = names.get(default.id) if isinstance(default, ast.Name) else None
    return ast.parse(repr(value), mode="eval").body if isinstance(value, int | float | str) else default


def of_function(function: object, is_method: bool) -> tuple[str, str | None]:
    """Arguments and result of a function, as its source has them."""
    function = inspect.unwrap(function)  # pyright: ignore[reportArgumentType]
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    if not isinstance(node, ast.FunctionDef):
        raise TypeError("this is not written as a function")
    given = node.args
    for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))):
        argument.annotation = spelled(argument.annotation, function.__module__)
    for defaults in (given.defaults, given.kw_defaults):
        defaults[:] = [plain(value, function.__globals__) for value in defaults]
    if is_method and not any(ast.unparse(each) == "staticmethod" for each in node.decorator_list):
        del given.args[0]
    returns = spelled(node.returns, function.__module__)
    return f"({ast.unparse(given)})", ast.unparse(returns) if returns else None


def of_fields(kind: type) -> str:
    """The arguments of a dataclass that follow from its fields."""
    texts: dict[str, tuple[ast.expr, ast.expr | None]] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("metaplax") and dataclasses.is_dataclass(base):
            (node,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
            for line in node.body:  # pyright: ignore[reportAttributeAccessIssue]
                if isinstance(line, ast.AnnAssign):
                    annotation = spelled(line.annotation, base.__module__)
                    texts[ast.unparse(line.target)] = (annotation, line.value)  # pyright: ignore[reportArgumentType]
    shown = inspect.signature(kind).parameters
    arguments, keyword = [], False
    for name, parameter in shown.items():
        if name.startswith("_"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword:
            arguments, keyword = [*arguments, "*"], True
        annotation, value = texts[name]
        has_default = parameter.default is not parameter.empty
        default = f" = {_default(value, parameter.default)}" if has_default else ""
        arguments.append(f"{name}: {ast.unparse(annotation)}{default}")
    return f"({', '.join(arguments)})"


def _default(value: ast.expr | None, known: object) -> str:
    """The default of a field: what it is said to be, or what its factory makes."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) in ("field", "eqx.field"):
        given = {each.arg: each.value for each in value.keywords}
        if "default_factory" in given:
            made = given["default_factory"]
            return ast.unparse(made.body) if isinstance(made, ast.Lambda) else f"{ast.unparse(made)}()"
        value = given.get("default")
    return repr(known) if value is None or isinstance(value, ast.Name) else ast.unparse(value)


def as_written(
    app: Sphinx, what: str, name: str, item: object, options: object, signature: str | None, returned: str | None
) -> tuple[str, str | None] | None:
    """The signature of an entry, or nothing where Sphinx has to find one itself."""
    try:
        if what == "class" and dataclasses.is_dataclass(item) and "__init__" in vars(item):
            own = inspect.unwrap(vars(item)["__init__"])
            if own.__code__.co_filename != inspect.getfile(item):  # pyright: ignore[reportArgumentType]
                return of_fields(item), None  # pyright: ignore[reportArgumentType]
            return of_function(own, is_method=True)[0], None
        if what == "class":
            return of_function(item.__init__, is_method=True)[0], None  # pyright: ignore[reportAttributeAccessIssue]
        if what in ("function", "method"):
            return of_function(getattr(item, "__func__", item), is_method=what == "method")
    except (OSError, TypeError, ValueError, KeyError, AttributeError):
        return None
    return None


def explained(app: Sphinx, what: str, name: str, item: object, options: object, lines: list[str]) -> None:
    """Constants and types have the string below them as docstring, and types what they stand for.

    What is a plain value here and documented in a base class has the docstring from there, not that of ``bool``.
    """
    if what in ("attribute", "property") and lines and lines[0] in BUILTIN:
        owner, short = public_names.public().get(name.rpartition(".")[0]), name.rpartition(".")[2]
        docs = [vars(base)[short].__doc__ or "" for base in getattr(owner, "__mro__", ()) if short in vars(base)]
        lines[:] = next((doc.splitlines() for doc in docs if doc.splitlines()[:1] != lines[:1]), [])
    if what != "data":
        return
    short = name.rsplit(".", 1)[1]
    for value, expression, text in assigned()[short]:
        if value is item:
            stands_for = f"Stands for ``{ast.unparse(expression)}``." if isinstance(expression, TYPES) else ""
            lines[:] = [*text.splitlines(), "", stands_for]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Put the signatures of the source in the place of the computed ones."""
    app.connect("autodoc-process-signature", as_written)
    app.connect("autodoc-process-docstring", explained)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
