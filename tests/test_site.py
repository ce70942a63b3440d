"""The documentation as Sphinx builds it: no warning, every public name, true defaults, no markup that is left over."""

import dataclasses
import inspect
import itertools
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
from filelock import FileLock
from sphinx.util.inventory import InventoryFile

import metaplax as mp

ROOT = Path(__file__).resolve().parents[1]
ROOMS = [name for name in mp.__all__ if hasattr(getattr(mp, name), "__all__")]
MODULES = {"metaplax": mp, **{f"metaplax.{name}": getattr(mp, name) for name in ROOMS}}
PUBLIC = [f"{module}.{name}" for module, value in MODULES.items() for name in value.__all__]
RAW_ROLE = re.compile(r":[a-z:]+:`|\{[a-z:]+\}`|``[A-Za-z]")
CODE = re.compile(r"<(pre|script)\b.*?</\1>", re.DOTALL)


def found(name):
    """The public object of this name."""
    module, _, last = name.rpartition(".")
    return getattr(MODULES[module], last)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the site without source code, and what Sphinx said; notebooks are not run."""
    # The processes that run tests of this file share one site: the first one builds it.
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "site"
    options = (
        f"-q --keep-going -t without_source -D nb_execution_mode=off -D toc_object_entries=0 -d {folder / 'doctrees'}"
    )
    command = [sys.executable, "-m", "sphinx", *options.split(), ROOT / "docs", folder / "html"]
    with FileLock(f"{folder}.lock"):
        said = folder / "said.txt"
        if not said.is_file():
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            said.write_text(done.stderr)
    return folder / "html", said.read_text()


@pytest.fixture(scope="module")
def signatures(built):
    """The signature of every documented object, as text."""
    texts = {}
    for page in (built[0] / "reference").glob("*.html"):
        for name, inside in re.findall(r'<dt class="sig [^>]*id="([\w.]+)">(.*?)</dt>', page.read_text(), re.DOTALL):
            texts[name] = re.sub(r"\s+", " ", unescape(re.sub("<[^>]+>", "", inside)))
    return texts


def test_nothing_is_wrong(built):
    """Broken links, pages outside the navigation, unknown references: all are warnings."""
    assert built[1] == ""


def test_every_public_name_is_documented(built):
    with (built[0] / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, path: path)
    documented = {name for kind, names in inventory.items() if kind.startswith("py:") for name in names}
    assert len(PUBLIC) > 200
    assert sorted(set(PUBLIC) - documented) == []


def test_no_markup_is_left_over(built):
    for page in built[0].rglob("*.html"):
        text = re.sub("<[^>]+>", "", CODE.sub("", page.read_text(encoding="utf-8")))
        if not page.is_relative_to(built[0] / "_modules"):
            assert not RAW_ROLE.search(unescape(text)), f"{page.name}: {RAW_ROLE.search(unescape(text))}"


def arguments(signature):
    """Name and default, ``None`` if there is none, of the arguments in a signature."""
    inside = signature[signature.index("(") + 1 : signature.rindex(")")]
    depths = itertools.accumulate((ch in "([{") - (ch in ")]}") for ch in inside)
    single = "".join("\n" if ch == "," and depth == 0 else ch for ch, depth in zip(inside, depths, strict=True))
    found = re.findall(r"^\s*\**(\w+)(?:\s*:[^=\n]*)?(?:=\s*(.+))?$", single, re.MULTILINE)
    return {name: default.strip() or None for name, default in found}


ENTRIES = {id(found(name)): name for name in reversed(PUBLIC) if name.count(".") == 2}  # not the name of another one
DATACLASSES = [name for name in ENTRIES.values() if dataclasses.is_dataclass(found(name))]


def test_a_field_shows_its_default_or_that_it_has_none(signatures):
    # One test for all: every process that runs tests of this file builds the site.
    assert len(DATACLASSES) > 150
    for name in DATACLASSES:
        shown = arguments(signatures[name]) if "(" in signatures[name] else {}
        expected = {k: v.default for k, v in inspect.signature(found(name)).parameters.items() if not k.startswith("_")}
        assert list(shown) == list(expected), name
        for argument, default in expected.items():
            assert (shown[argument] is None) == (default is inspect.Parameter.empty), f"{name}: {argument}"


def test_shapes_are_short(signatures):
    assert "Float[Array, 'n']" in signatures["metaplax.analysis.angle"]
    assert not [text for text in signatures.values() if "jaxtyping." in text or "jaxlib" in text or " at 0x" in text]


def test_defaults_and_docstrings_are_those_of_the_package(built, signatures):
    assert arguments(signatures["metaplax.estimators.Reversible"])["anchor_every"] == "500"
    text = "".join(page.read_text(encoding="utf-8") for page in (built[0] / "reference").glob("*.html"))
    assert not [kind for kind in (bool, int, float, str, tuple, dict) if kind.__doc__.split("\n")[0] in unescape(text)]


def test_pages_need_no_network(built):
    for page in [built[0] / "index.html", built[0] / "explanations" / "networks.html"]:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="https?:[^"]*"', text)
        assert "mathjax@" not in text.lower()
    assert "<math" in text
