"""Experiments of one's own: in a file, registered in code, registered by a package."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import metaplax as mp
import own
from metaplax.cli import main
from metaplax.experiments import ConfigError, RunOptions, from_file, registry
from metaplax.runs import RunFolder, RunFolderError


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The name of an experiment in a file of the current folder."""
    monkeypatch.chdir(tmp_path)
    own.write(tmp_path)
    return "mine.py:Mine"


@pytest.fixture(autouse=True)
def _registry_as_before():
    before = dict(registry.EXPERIMENTS)
    yield
    registry.EXPERIMENTS.clear()
    registry.EXPERIMENTS.update(before)


def run(mine: str, *arguments: str) -> Path:
    assert main(["run", mine, *arguments, "--out", "runs"]) == 0
    (folder,) = Path("runs").iterdir()
    return folder


def edit(folder: Path, **changes: object) -> None:
    RunFolder(folder).write_json("config.json", RunFolder(folder).config() | changes)


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ([], {"upto": 3, "word": "left", "trials": 2}),
        (["--preset", "smoke"], {"upto": 2}),
        (["--upto", "1", "--word", "right", "--several", "3", "--seed", "9"], {"upto": 1, "several": [3.0], "seed": 9}),
    ],
    ids=["the preset quick", "another preset", "options"],
)
def test_a_file_is_run_with_its_fields_as_options(mine, arguments, fields):
    folder = run(mine, *arguments)
    config = json.loads((folder / "config.json").read_text())
    assert fields.items() <= config["config"].items()
    assert (config["experiment"], config["code"]["name"]) == ("Mine", "Mine")
    assert Path(config["code"]["file"]) == Path("mine.py").absolute()
    studies = {name: (study["arm"], study["condition"]) for name, study in config["studies"].items()}
    assert studies == {"one": ("one", ""), "two": ("two", ""), "one.elsewhere": ("one", "elsewhere")}


def test_it_is_resumed_in_another_process(mine):
    folder = run(mine, "--upto", "2")
    for study in ("two", "one.elsewhere"):
        shutil.rmtree(folder / "checkpoints" / study)
    rows = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join(rows[:3]))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "metaplax", "resume", str(folder.absolute()), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["experiment"] == "Mine"
    names = [json.loads(line)["study"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert names == ["one"] * 3 + ["two"] * 3 + ["one.elsewhere"] * 3


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mine.py:Mne", "there is no class 'Mne' in"),
        ("mine.py:Mne", "did you mean 'Mine'"),
        ("mine.py:NUMBER", "its experiments are Mine"),
        ("mine.py:Abstract", "it must derive from AbstractExperiment and define studies"),
        ("mine.py:Counting", "it must derive from AbstractExperiment and define studies"),
        ("mine.py", "Name its class, too: mine.py:CLASS"),
        ("nowhere.py:Mine", "there is no file"),
        ("broken.py:Mine", "broken.py cannot be imported: ZeroDivisionError: division by zero"),
        ("leaving.py:Mine", "leaving.py cannot be imported: SystemExit: 3"),
        ("pipe.py:Mine", "there is no file"),
        (f"{'x' * 300}.py:Mine", "there is no file"),
    ],
)
def test_what_cannot_be_run_is_a_sentence(mine, name, sentence, capsys):
    Path("broken.py").write_text("1 / 0")
    Path("leaving.py").write_text("raise SystemExit(3)")
    os.mkfifo("pipe.py")
    assert main(["run", name]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_a_file_may_import_another_beside_it(mine):
    Path("beside_mine.py").write_text("LIMIT = 1")
    own.write(Path(), own.TEXT.replace("NUMBER = 1", "from beside_mine import LIMIT"))
    before = list(sys.path)
    assert from_file.load_from_file("mine.py", "Mine").name == "Mine"
    assert sys.path == before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda: Path("mine.py").rename("elsewhere.py"), "there is no file"),
        (lambda: own.write(Path(), own.TEXT.replace("class Mine", "class Yours")), "there is no class 'Mine'"),
        (lambda: own.write(Path(), own.TEXT.replace("upto", "until")), "unexpected keyword argument 'upto'"),
    ],
    ids=["moved", "renamed", "other fields"],
)
def test_a_file_that_has_changed_too_much_is_a_sentence(mine, change, sentence, capsys):
    folder = run(mine)
    change()
    capsys.readouterr()
    assert main(["resume", str(folder)]) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert main(["report", str(folder)]) == 0, "reports import nothing"


@pytest.mark.parametrize("place", ["runs/evil.py", "absolute", "linked.py"])
def test_a_file_in_a_run_folder_is_not_imported(mine, place, capsys):
    folder = run(mine)
    evil = own.write(folder, "open('imported', 'w')\n" + own.TEXT).absolute()
    Path("linked.py").symlink_to(evil)
    code = json.loads((folder / "config.json").read_text())["code"]
    named = {"absolute": str(evil), "linked.py": str(Path("linked.py").absolute())}
    edit(folder, code=code | {"file": named.get(place, os.path.relpath(evil))})
    capsys.readouterr()
    assert main(["resume", str(folder)]) == 1
    assert "must be named by its full path and not be in a run folder" in capsys.readouterr().err
    assert not Path("imported").exists()


@pytest.mark.filterwarnings("default")
def test_another_version_of_the_file_is_said(mine, capsys):
    folder = run(mine)
    own.write(Path(), own.TEXT + "\n# another line\n")
    assert main(["resume", str(folder)]) == 0
    assert "mine.py has changed since" in capsys.readouterr().err


def test_fields_that_cannot_be_stored_are_refused(mine):
    experiment = registry.lookup(mine)()
    with pytest.raises(ConfigError, match="word must be text, a number"):
        mp.experiments.run(replace(experiment, word=Path("left")), RunOptions(out="runs"))
    assert not Path("runs").exists()


def test_registered_in_code(mine):
    folder = run(mine)
    edit(folder, code=None)
    with pytest.raises(RunFolderError, match="there is no experiment 'Mine'"):
        mp.experiments.resume(str(folder))
    kind = mp.experiments.register(registry.lookup(mine))
    assert mp.experiments.lookup("Mine") is kind
    assert "Mine" in mp.experiments.names()
    assert mp.experiments.resume(str(folder)).path == folder


def test_a_name_is_not_taken_twice(mine):
    @dataclass(frozen=True)
    class Other(registry.lookup(mine)):
        name = "quickstart"

    with pytest.raises(ConfigError, match=r"already an experiment 'quickstart': .*Other needs another name"):
        mp.experiments.register(Other)


def entry_points(monkeypatch, *pairs):
    found = [EntryPoint(name, value, registry.GROUP) for name, value in pairs]
    monkeypatch.setattr(registry, "entry_points", lambda group: found)


def test_registered_by_a_package(mine, monkeypatch, capsys):
    monkeypatch.syspath_prepend(Path.cwd())
    entry_points(monkeypatch, ("Mine", "mine:Mine"), ("broken", "no_such_module:Mine"), ("Abstract", "mine:Abstract"))
    assert main(["list", "--json"]) == 0
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert found["Mine"]["title"] == "Counting λ"
    assert found["Mine"]["problem"] is None
    assert "'broken' of a package cannot be loaded: ModuleNotFoundError" in found["broken"]["problem"]
    assert "is not an experiment" in found["Abstract"]["problem"]
    assert main(["list"]) == 0
    assert main(["run", "broken"]) == 2
    folder = run("Mine")
    assert json.loads((folder / "config.json").read_text())["code"] is None
    assert main(["resume", str(folder)]) == 0


def test_a_package_whose_names_differ_is_a_sentence(mine, monkeypatch):
    monkeypatch.syspath_prepend(Path.cwd())
    entry_points(monkeypatch, ("other", "mine:Mine"))
    with pytest.raises(ConfigError, match="another name than its experiment, which is called 'Mine'"):
        registry.lookup("other")


SMALL = """
from dataclasses import dataclass
from metaplax.experiments import OnlineRuleLearning


@dataclass(frozen=True)
class Small(OnlineRuleLearning):
    arms = ("fa",)
    presets = {}

    data: str = "glyphs"
    sizes: tuple[int, ...] = (784, 8, 47)
    shots: int = 2
    queries: int = 1
"""


def test_estimators_are_compared_on_it(tmp_path, monkeypatch, few_glyphs):
    monkeypatch.chdir(tmp_path)
    own.write(tmp_path, SMALL)
    arguments = ["--estimators", "checkpointed", "--trials", "1", "--meta-steps", "1", "--probes", "1", "--out", "runs"]
    assert main(["compare-estimators", "mine.py:Small", *arguments]) == 0
    (folder,) = Path("runs").iterdir()
    assert json.loads((folder / "config.json").read_text())["config"]["experiment"] == f"{tmp_path / 'mine.py'}:Small"
    monkeypatch.chdir("/")
    assert main(["resume", str(tmp_path / folder)]) == 0
