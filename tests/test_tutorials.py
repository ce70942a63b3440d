"""The tutorials run from the first cell to the last, each in a process of its own, and leave nothing behind."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("[0-9]*.md"))
CELL = re.compile(r"^```\{code-cell\}.*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def cells(tutorial: Path) -> list[str]:
    """The code cells, without their options."""
    found = CELL.findall(tutorial.read_text(encoding="utf-8"))
    return [re.sub(r"\A(:[\w-]+:.*\n)+", "", cell) for cell in found]


def files(folder: Path) -> set[Path]:
    """All files below a folder, but not what Python compiles."""
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs(tutorial, tmp_path):
    before = files(tutorial.parent)
    environment = {**os.environ, "MPLBACKEND": "Agg", "TMPDIR": str(tmp_path), "PYTHONWARNINGS": "error"}
    if tutorial != TUTORIALS[0]:
        # All but the first compile for longer than they run.
        environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    source = tmp_path / "tutorial.py"
    source.write_text("\n\n".join(cells(tutorial)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, source], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert files(tutorial.parent) == before


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_is_a_notebook_with_tasks_to_try(tutorial):
    text = tutorial.read_text(encoding="utf-8")
    assert text.startswith("---\njupytext:\n")
    assert "name: python3\n---\n" in text
    assert len(re.findall(r"^\d\. ", text.split("\n## Try\n")[1].split("\n## ")[0], re.MULTILINE)) in (2, 3)
    assert "\n## Where to go from here\n" in text
