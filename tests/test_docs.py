"""What the documentation says can be run, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

from metaplax.experiments import EXPERIMENTS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TELLING = {
    "few-shot.md": r"accuracy: \d",
    "energy-learners.md": r"Reverse: -3\.000\nConjugateGradient: -3\.000\nContrastive: -2\.9\d\d",
    "spiking.md": r"squared error: \d",
    "streams.md": r"squared error: \d",
}
"""What the code of a page prints, if it prints no rule."""
WITH_CODE = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]


@pytest.fixture
def registry_as_before():
    """What a page registers is gone afterwards."""
    before = dict(EXPERIMENTS)
    yield
    EXPERIMENTS.clear()
    EXPERIMENTS.update(before)


@pytest.mark.usefixtures("registry_as_before")
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda p: p.name)
def test_code_runs(page, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    namespace: dict = {"__name__": "documentation"}
    for block in blocks:
        exec(compile(block, str(page), "exec"), namespace)
    assert re.search(TELLING.get(page.name, "ΔWₗ = "), capsys.readouterr().out)


def test_writing_a_term_takes_about_ten_lines():
    page = (ROOT / "docs" / "own-term.md").read_text(encoding="utf-8")
    term = re.search(r"```python\n.*?(class CovarianceHebb.*?)```", page, re.DOTALL).group(1)
    assert len([line for line in term.splitlines() if line.strip()]) <= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_command_in_the_documentation_exists():
    verbs = {"list", "run", "resume", "evaluate", "report", "compare", "compare-estimators", "data"} | {
        "bench",
        "bench-steps",
    }
    for page in PAGES:
        for verb, experiment in re.findall(
            r"metaplax ([a-z-]+)(?: ((?:shervani|lindsey|zucchet)\S+|quickstart))?", _console(page)
        ):
            assert verb in verbs
            assert not experiment or experiment in EXPERIMENTS


def _console(page: Path) -> str:
    return "\n".join(re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
