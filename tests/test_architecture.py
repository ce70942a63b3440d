"""Imports go downwards only, and every public name says what it is."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import metaplax

ROOT = Path(metaplax.__file__).parent
ALLOWED = {
    "networks": set(),
    "plasticity": set(),
    "data": set(),
    "tasks": {"data"},
    "feedback": {"networks", "plasticity"},
    "learners": {"feedback", "networks", "plasticity", "tasks"},
    "estimators": {"learners", "plasticity", "tasks"},
    "optim": set(),
    "runs": set(),
    "training": {"estimators", "learners", "optim", "reports", "runs", "tasks"},
    "analysis": {"feedback", "networks", "runs", "tasks"},
    # Above training, which fits a rule to recordings, and below experiments, which simulate the recordings.
    "inference": {"estimators", "feedback", "learners", "networks", "optim", "plasticity", "tasks", "training"},
    "experiments": {"analysis", "data", "estimators", "feedback", "inference", "learners", "networks", "optim"}
    | {"plasticity", "runs", "tasks", "training"},
    "reports": {"analysis", "plasticity", "runs"},
    # Above experiments, which workers run, and reports, which they write; not all that uses it is the command line.
    "sweeps": {"data", "experiments", "learners", "reports", "runs", "training"},
    "cli": {"analysis", "data", "estimators", "experiments", "feedback", "inference", "learners", "networks"}
    | {"plasticity", "reports", "runs", "sweeps", "tasks", "training"},
}  # fmt: skip
ROOMS = sorted(ALLOWED)
LONGEST = 60
"""Lines of a function, without its docstring."""


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts[0] == "metaplax":
                rooms |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return rooms & set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_go_downwards(room):
    for path in (ROOT / room).rglob("*.py"):
        assert imported_rooms(path) - {room} <= ALLOWED[room], path


def modules() -> dict[str, set[str]]:
    """What every file imports at its top, by name of the module; packages are what they hand on."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        needs = set()
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("metaplax"):
                needs |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        found[name] = needs
    return {name: (needs & found.keys()) - {name, "metaplax"} for name, needs in found.items()}


def test_no_circle_inside_a_room_either():
    left = modules()
    while left:
        free = [name for name, needs in left.items() if not needs & left.keys()]
        assert free, f"a circle among {sorted(left)}"
        for name in free:
            del left[name]


def test_a_function_does_one_thing():
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                first = node.body[0]
                has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
                docstring = first.end_lineno - first.lineno + 1 if has_docstring else 0
                assert node.end_lineno - node.lineno + 1 - docstring <= LONGEST, (path, node.name)


def test_one_file_name_for_one_idea():
    """Two files share a name only if they are the same idea in two places, such as the base of a room."""
    shared = {"__init__", "__main__", "base"}
    names = [path.stem for path in ROOT.rglob("*.py") if path.stem not in shared]
    assert sorted(names) == sorted(set(names)), sorted({name for name in names if names.count(name) > 1})


def test_there_are_no_other_rooms():
    assert {p.parent.name for p in ROOT.glob("*/__init__.py")} == set(ROOMS)


def test_there_is_no_circle():
    left = dict(ALLOWED)
    while left:
        free = [room for room, needs in left.items() if not needs & left.keys()]
        assert free, f"a circle among {sorted(left)}"
        for room in free:
            del left[room]


def test_files_hold_one_idea_each():
    for path in ROOT.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path


@pytest.mark.parametrize("room", ROOMS)
def test_public_names_exist_and_are_documented(room):
    module = importlib.import_module(f"metaplax.{room}")
    assert module.__doc__
    assert list(module.__all__) == sorted(module.__all__, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), name


def abstract_or_final():
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(("metaplax", *(part for part in parts if part != "__init__")))
            for _, value in inspect.getmembers(importlib.import_module(name), inspect.isclass):
                if value.__module__ == name:
                    yield value


def test_classes_are_abstract_or_final():
    configurations = {"OnlineRuleLearning"}
    for value in abstract_or_final():
        ours = [b for b in value.__mro__[1:] if b.__module__.startswith("metaplax")]
        for base in ours:
            assert base.__name__.startswith("Abstract") or base.__name__ in configurations, (value, base)
