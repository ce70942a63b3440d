"""What the documentation says can be run, and its links lead somewhere."""

import contextlib
import dataclasses
import re
import shlex
from pathlib import Path

import pytest

import metaplax as mp
from metaplax.cli import main
from metaplax.cli.commands import Processes
from metaplax.cli.sweep_options import Engine, SweepOptions
from metaplax.experiments import EXPERIMENTS, RunOptions

ROOT = Path(__file__).resolve().parents[1]
ROOT_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
PAGES = [*ROOT_PAGES, *sorted((ROOT / "docs").rglob("*.md"))]
OUTPUT = {
    "choosing.md": r"1\.1\d*e-04",
    "familiarity.md": r"loss 0\.\d+",
    "few-shot.md": r"accuracy: \d",
    "networks.md": r"1 to 1 weights \(50, 50\) delayed",
    "energy-learners.md": r"Reverse: -3\.000\nConjugateGradient: -3\.000\nContrastive: -2\.9\d\d",
    "own-estimator.md": r"FiniteDifferences \[",
    "own-experiment.md": r"report\.html",
    "own-learner.md": r"outer loss 0\.\d\d -> 0\.0\d",
    "pytorch.md": r"accuracy: 0\.[3-9]",
    "reversible-loop.md": r"agree to 1e-6: True",
    "sharp-bits.md": r"meta-training diverged: 10 meta-steps in a row up to step 9",
    "spiking.md": r"squared error: \d",
    "statistics.md": r"F_bio is ahead of backprop by 0\.044",
    "streams.md": r"squared error: \d",
}
"""What the code of a page prints, if it prints no rule."""
PAGE_NEEDS = {"pytorch.md": "torch"}
"""What the code of a page needs that is not always installed."""
VERBS = {
    "list", "run", "resume", "sweep", "evaluate", "report", "compare", "compare-estimators", "data", "infer", "rules",
    "bench",
}  # fmt: skip
HOW_TO = ROOT / "docs" / "how-to"
EXAMPLES = HOW_TO / "examples.md"
WITH_CODE = [page for page in PAGES if "```python\n" in page.read_text(encoding="utf-8") and page != EXAMPLES]
SPHINX_ROLE = re.compile(r":[a-z]+:`")


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
    if page.name in PAGE_NEEDS:
        pytest.importorskip(PAGE_NEEDS[page.name], reason="an extra that is not installed")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    namespace: dict = {"__name__": "documentation"}
    for block in blocks:
        exec(compile(block, str(page), "exec"), namespace)
    assert re.search(OUTPUT.get(page.name, "ΔWₗ = "), capsys.readouterr().out)


NEEDS = {"CMA-ES in the place of a meta-gradient": "evosax"}
"""What an example needs that is not always installed."""


@pytest.mark.parametrize("heading", re.findall(r"^## (.*)$", EXAMPLES.read_text(encoding="utf-8"), re.MULTILINE))
def test_an_example_is_a_program_of_at_most_25_lines(heading, monkeypatch, tmp_path, capsys):
    if heading in NEEDS:
        pytest.importorskip(NEEDS[heading], reason="an extra that is not installed")
    monkeypatch.chdir(tmp_path)
    section = EXAMPLES.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    (program,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len([line for line in program.splitlines() if line.strip()]) <= 25
    exec(compile(program, heading, "exec"), {"__name__": "documentation"})
    assert re.search("ΔWₗ = ", capsys.readouterr().out)


def test_an_estimator_of_ones_own_joins_a_comparison(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    page = (HOW_TO / "own-estimator.md").read_text(encoding="utf-8")
    file = re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1)
    Path("my_estimator.py").write_text(file, encoding="utf-8")
    named = ["--estimators", "reverse", "my_estimator.py:FiniteDifferences"]
    few = ["--base", "smoke", "--trials", "1", "--meta-steps", "1", "--probes", "1", "--draws", "1"]
    assert main(["compare-estimators", "quickstart", *named, *few]) == 0
    assert "FiniteDifferences" in capsys.readouterr().out


def test_an_experiment_of_ones_own_runs_and_is_resumed(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    page = (HOW_TO / "own-experiment.md").read_text(encoding="utf-8")
    file = re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1)
    Path("my_experiment.py").write_text(file, encoding="utf-8")
    assert main(["run", "my_experiment.py:Mine", "--preset", "smoke"]) == 0
    (folder,) = Path("runs").glob("mine-*")
    assert "with covariance" in capsys.readouterr().out
    assert main(["resume", str(folder)]) == 0


def test_writing_a_term_takes_about_ten_lines():
    page = (HOW_TO / "own-term.md").read_text(encoding="utf-8")
    term = re.search(r"```python\n.*?(class CovarianceHebb.*?)```", page, re.DOTALL).group(1)
    assert len([line for line in term.splitlines() if line.strip()]) <= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            name, _, anchor = target.partition("#")
            found = page.parent / name if name else page
            assert found.exists(), target
            assert not anchor or anchor in _anchors(found), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_command_in_the_documentation_exists(page):
    for verb, *arguments in _commands(page):
        assert verb in VERBS
        if verb == "rules":
            known = {*mp.rules.available()}
            assert {name for name in arguments if "/" in name and not name.startswith("runs/")} <= known
            continue
        known = r"(shervani|lindsey|zucchet|tyulmankov|miconi|maoutsa|mehta)\d|quickstart$"
        named = [argument for argument in arguments if re.match(known, argument)]
        for name in named:
            assert name in EXPERIMENTS
            further = (SweepOptions, Engine) if verb == "sweep" else (RunOptions, Processes)
            _check_options(EXPERIMENTS.get(verb, EXPERIMENTS[name]), arguments, further)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_no_page_holds_a_sphinx_role(page):
    assert not SPHINX_ROLE.search(page.read_text(encoding="utf-8"))


def test_no_docstring_holds_a_sphinx_role():
    # Docstrings become pages of the reference, and those of experiments are help texts.
    found = [path for path in (ROOT / "src").rglob("*.py") if SPHINX_ROLE.search(path.read_text(encoding="utf-8"))]
    assert not found


@pytest.mark.parametrize("verb", sorted(VERBS - {"compare-estimators"}))
def test_no_help_text_holds_a_sphinx_role(verb, capsys):
    arguments = [verb, *(["quickstart"] if verb == "run" else []), "--help"]
    with contextlib.suppress(SystemExit):
        main(arguments)
    text = capsys.readouterr().out
    assert "usage" in text.lower()
    assert not SPHINX_ROLE.search(text)


def _commands(page: Path) -> list[list[str]]:
    """The arguments of every ``metaplax ...`` in the console blocks of a page."""
    text = "\n".join(re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
    text = text.replace("\\\n", "")
    return [shlex.split(line, comments=True) for line in re.findall(r"^\$ metaplax (.*)$", text, re.MULTILINE)]


def _check_options(experiment: type, arguments: list[str], further: tuple[type, ...]) -> None:
    """Every option is a field of the experiment, or of the run or sweep, and the preset exists."""
    fields = {field.name for kind in (experiment, *further) for field in dataclasses.fields(kind)}
    for argument in arguments:
        if argument.startswith("--"):
            assert argument.removeprefix("--").replace("-", "_") in fields, argument
    if "--preset" in arguments:
        assert arguments[arguments.index("--preset") + 1] in experiment.presets


def _anchors(page: Path) -> set[str]:
    """The anchors that the headings of a page get."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}
