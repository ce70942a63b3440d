"""Nothing behind a link is written or deleted, and nothing that a user has put beside what a run has written."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import small
from metaplax import reports
from metaplax.cli import main
from metaplax.experiments import ConfigError
from metaplax.experiments.runner import checked
from metaplax.experiments.studies.meta_training import Untrained
from metaplax.runs import Checkpoints, FolderRecorder, RunFolder, RunFolderError

STATE = {"a": np.arange(3.0)}


@pytest.fixture
def foreign(tmp_path):
    """A folder and a file of somebody else, which must stay as they are."""
    place = tmp_path / "foreign"
    (place / "3").mkdir(parents=True)
    for file in (place / "3" / "mine.txt", place / "mine.txt"):
        file.write_text("mine")
    yield place
    assert sorted(path.name for path in place.rglob("*")) == ["3", "mine.txt", "mine.txt"]
    assert {path.read_text() for path in place.rglob("*.txt")} == {"mine"}


def restart(run: Path, study: str = "one") -> None:
    """Undo a study, so that it is conducted again."""
    shutil.rmtree(run / "checkpoints" / study, ignore_errors=True)
    folder = RunFolder(run)
    with folder.writing():
        folder.drop_rows(study, 0)


@pytest.mark.parametrize("place", ["checkpoints", "checkpoints/one"])
def test_linked_checkpoints_are_refused(place, run, foreign, capsys):
    restart(run)
    shutil.rmtree(run / place, ignore_errors=True)
    (run / place).symlink_to(foreign)
    assert main(["resume", str(run)]) == 1
    said = capsys.readouterr().err
    assert f"{run / place} is a link" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", ["metrics.jsonl", ".lock"])
def test_linked_files_are_refused(name, run, foreign, capsys):
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(foreign / "mine.txt")
    assert main(["resume", str(run)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", ["result.json", "result.json.partial", "report.html", "report.html.partial"])
def test_a_link_in_the_place_of_a_file_is_not_followed(name, run, foreign):
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(foreign / "mine.txt")
    assert main(["resume", str(run)]) == 0
    assert not (run / name.removesuffix(".partial")).is_symlink()


def test_a_linked_folder_of_figures_is_refused(run, foreign):
    shutil.rmtree(run / "figures")
    (run / "figures").symlink_to(foreign)
    with pytest.raises(RunFolderError, match=r"figures is a link"):
        reports.write([run], run / "report.html")


@pytest.mark.parametrize("name", ["notes", "7", "007", "٣", "²", "7.partial"])
def test_folders_that_we_have_not_written_stay(name, tmp_path, foreign):
    checkpoints = Checkpoints(tmp_path / "a", "x")
    checkpoints.save(1, STATE)
    shutil.copytree(foreign / "3", tmp_path / "a" / name)
    (tmp_path / "a" / "8").symlink_to(foreign)
    for done in (2, 3, 4, 5):
        checkpoints.save(done, STATE)
    assert checkpoints.steps() == [3, 4, 5]
    checkpoints.clear()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted([name, "8"])
    assert (tmp_path / "a" / name / "mine.txt").read_text() == "mine"


def test_a_linked_checkpoint_is_passed_over(tmp_path, capsys):
    checkpoints = Checkpoints(tmp_path / "a", "x")
    for done in (1, 2):
        checkpoints.save(done, STATE)
    (tmp_path / "a" / "2").rename(tmp_path / "2")
    (tmp_path / "a" / "2").symlink_to(tmp_path / "2")
    assert checkpoints.latest(STATE)[0] == 1
    assert "2 is a link" in capsys.readouterr().err


def test_half_written_files_of_a_killed_process_are_swept_away(run):
    ours, foreign = run / "metrics.jsonl.0123abcd.partial", run / "mine.json.partial"
    for file in (ours, foreign):
        file.write_text("{")
    with RunFolder(run).writing():
        assert not ours.exists()
        assert foreign.exists()


@pytest.mark.parametrize("name", ["..", "../elsewhere", "a/b", ".hidden", "", "a\\b", "a\n"])
def test_studies_whose_names_lead_out_of_the_folder_are_refused(name):
    with pytest.raises(ConfigError, match="named like files"):
        checked({name: Untrained(small.learner())})


def test_a_recorder_refuses_links_when_it_is_made(tmp_path, foreign):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").symlink_to(foreign)
    with pytest.raises(RunFolderError, match="is a link, and what it leads to is left alone"):
        FolderRecorder(RunFolder(tmp_path / "run"), "a", "x")
