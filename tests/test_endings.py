"""Signals, output that cannot be written, and paths that are not text."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import own
from metaplax.cli import main
from metaplax.experiments import RunOptions, from_file, resume, run
from metaplax.runs import Interruption, RunFolder, RunFolderError
from metaplax.runs.run_steps import STOPPING

UNDECODABLE = os.fsdecode(b"other\xff")
COMMAND = [sys.executable, "-m", "metaplax"]


@pytest.fixture
def mine(tmp_path):
    """An experiment of one's own, which counts."""
    return from_file.load_from_file(own.write(tmp_path), "Mine")


@pytest.mark.parametrize("name", STOPPING)
def test_every_signal_to_stop_is_a_request(name):
    number = signal.Signals[name]
    before = signal.getsignal(number)
    with Interruption().listening() as interruption:
        os.kill(os.getpid(), number)
        assert interruption.requested == name
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


def test_what_is_to_be_ignored_still_is():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption().listening() as interruption:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interruption.requested == ""
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_whose_terminal_has_gone_makes_a_checkpoint(tmp_path):
    hang_up = "def hang_up(index):\n    if index == 4:\n        os.kill(os.getpid(), signal.SIGHUP)\n"
    text = own.TEXT.replace("import numpy", f"import os, signal\n{hang_up}\nimport numpy")
    text = text.replace("state: (", "state: hang_up(index) or (")
    command = [*COMMAND, "run", f"{own.write(tmp_path, text)}:Mine", "--upto", "1000", "--out", str(tmp_path / "runs")]
    reading, writing = os.pipe()
    os.close(reading)
    assert subprocess.run(command, stderr=writing, stdout=subprocess.DEVNULL).returncode == 130
    os.close(writing)
    (folder,) = (tmp_path / "runs").iterdir()
    assert [path.name for path in (folder / "checkpoints").glob("*/*")] == ["5"]
    assert len(RunFolder(folder).rows()) == 5


@pytest.mark.parametrize("imported", ["tyro", "jax"])
def test_ctrl_c_while_packages_are_imported(imported, tmp_path):
    (tmp_path / f"{imported}.py").write_text("raise KeyboardInterrupt")
    path = os.pathsep.join([str(tmp_path), str(Path(own.__file__).parents[1] / "src")])
    done = subprocess.run([*COMMAND, "list"], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["data", "list", "--json"]])
def test_a_full_disk_behind_the_output(arguments, monkeypatch, capsys):
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(arguments) == 1
    assert capsys.readouterr().err == "metaplax: the output cannot be written: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_behind_the_complaints(monkeypatch):
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert main(["list"]) == 0
        assert main(["nosuch"]) == 2


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_stream_that_is_closed_is_no_error(name, monkeypatch):
    monkeypatch.setattr(sys, name, None)
    assert main(["--version"]) == 0


def test_a_run_folder_needs_a_path_that_is_text(mine, tmp_path):
    with pytest.raises(RunFolderError, match="checkpoints need a path in UTF-8"):
        run(mine(), RunOptions(out=tmp_path / UNDECODABLE))
    assert not (tmp_path / UNDECODABLE).exists()
    folder = run(mine(), RunOptions(out=tmp_path)).path.rename(tmp_path / UNDECODABLE)
    with pytest.raises(RunFolderError, match="checkpoints need a path in UTF-8"):
        resume(folder)


def test_a_folder_of_data_need_not_be_text(mine, tmp_path):
    folder = run(mine(), RunOptions(out=tmp_path, data_dir=tmp_path / UNDECODABLE))
    assert json.loads((folder.path / "config.json").read_bytes())["data_dir"] == str(tmp_path / UNDECODABLE)
    assert resume(folder.path).config() == folder.config()
