"""The documentation as Sphinx builds it: no warning, every public name, true defaults, no markup that is left over."""

import dataclasses
import inspect
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

import metaplax as mp

ROOT = Path(__file__).resolve().parents[1]
ROOMS = [name for name in mp.__all__ if hasattr(getattr(mp, name), "__all__")]
MODULES = {"metaplax": mp, **{f"metaplax.{name}": getattr(mp, name) for name in ROOMS}}
PUBLIC = [f"{module}.{name}" for module, value in MODULES.items() for name in value.__all__]
RAW_ROLE = re.compile(r":[a-z:]+:`|\{[a-z:]+\}`|``[A-Za-z]")
CODE = re.compile(r"<(pre|script)\b.*?</\1>", re.DOTALL)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the site, and what Sphinx said; notebooks are not run."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "--keep-going", "-d", folder / "doctrees", "-D"]
    done = subprocess.run(
        [*command, "nb_execution_mode=off", ROOT / "docs", folder / "html"], capture_output=True, text=True, check=False
    )
    return folder / "html", done.stderr


@pytest.fixture(scope="module")
def signatures(built):
    """The signature of every documented object, as text."""
    found = {}
    for page in (built[0] / "reference").glob("*.html"):
        for name, inside in re.findall(r'<dt class="sig [^>]*id="([\w.]+)">(.*?)</dt>', page.read_text(), re.DOTALL):
            found[name] = re.sub(r"\s+", " ", unescape(re.sub("<[^>]+>", "", inside)))
    return found


def test_nothing_is_wrong(built):
    """Broken links, pages outside the navigation, unknown references: all are warnings."""
    assert [line for line in built[1].splitlines() if "toctree glob pattern" not in line] == []


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


@pytest.mark.parametrize("name", [name for name in PUBLIC if dataclasses.is_dataclass(eval(name, {"metaplax": mp}))])
def test_a_field_with_a_default_shows_it(name, signatures):
    kind = eval(name, {"metaplax": mp})
    documented = f"{kind.__module__.rsplit('.', 1)[0]}.{kind.__name__}"
    shown = signatures.get(name, signatures.get(documented))
    if name.startswith("metaplax.") and name.count(".") == 1:
        pytest.skip("a short name, which leads to the entry in its room")
    for parameter in inspect.signature(kind).parameters.values():
        if not parameter.name.startswith("_"):
            found = re.search(rf"[(, ]\*{{0,2}}{parameter.name}\s*(: .*?)?(?=, \*?\w+:|, \*,|, ?\)|\)|$)", shown)
            assert found, f"{parameter.name} is not in {shown}"
            assert ("=" in found[0]) == (parameter.default is not parameter.empty), found[0]


def test_shapes_are_short(signatures):
    assert "Float[Array, 'n']" in signatures["metaplax.analysis.angle"]
    assert not [text for text in signatures.values() if "jaxtyping." in text or "jaxlib" in text or " at 0x" in text]


def test_pages_need_no_network(built):
    for page in [built[0] / "index.html", built[0] / "explanations" / "networks.html"]:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="https?:[^"]*"', text)
        assert "mathjax@" not in text.lower()
    assert "<math" in text
