"""Run folders and checkpoints: whole or not at all, and one clear sentence about anything wrong."""

import contextlib
import errno
import hashlib
import json
import shutil
import subprocess
import sys
from functools import partial
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

import metaplax as mp
import small
from metaplax.runs import (
    CheckpointError,
    Checkpoints,
    FolderRecorder,
    Interrupted,
    RunFolder,
    RunFolderError,
)
from metaplax.runs.machine import LIBRARIES, environment

STATE = {"a": np.arange(5, dtype=np.float32), "b": (np.int32(3), np.ones((2, 2), np.float32))}


CONFIG = {
    **dict.fromkeys(("experiment", "preset", "data", "data_sha256", "title", "source"), "one"),
    **{"data_dir": None, "checkpoint_seconds": 1, "report": {}, "studies": {}, "published": {}, "config": {}},
}


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder.create(tmp_path, "test/one", CONFIG)
    yield folder
    with contextlib.suppress(RunFolderError):
        folder.close()


def test_a_new_folder_says_what_and_where(folder):
    assert folder.path.name.startswith("test-one-2")
    assert folder.config() == CONFIG
    assert folder.read_json("env.json")["libraries"]["jax"] == jax.__version__


@pytest.mark.parametrize("program", ["/somewhere/bin/metaplax", "/somewhere/metaplax/__main__.py"])
def test_the_command_is_told_as_a_user_types_it(monkeypatch, program):
    monkeypatch.setattr(sys, "argv", [program, "run", "quickstart"])
    assert environment()["command"] == ["metaplax", "run", "quickstart"]


def test_a_source_tree_need_not_be_installed(monkeypatch):
    def installed(name):
        if name == "metaplax":
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr("metaplax.runs.machine.version", installed)
    assert environment()["libraries"] == {"metaplax": mp.__version__, **dict.fromkeys(LIBRARIES, "1")}


def test_rows_survive_a_line_cut_short(folder):
    for step in range(3):
        folder.append({"study": "a", "step": step, "loss": [0.1 + step, float("nan")]})
    with folder.metrics_path.open("a") as stream:
        stream.write('{"study": "a", "st')
    assert [row["step"] for row in folder.rows()] == [0, 1, 2]
    assert folder.rows()[0]["loss"] == [0.1, None]
    folder.drop_rows("a", 2)
    assert [row["step"] for row in folder.rows()] == [0, 1]
    folder.append({"study": "a", "step": 2, "loss": [0.3, 0.2]})
    assert len(folder.rows()) == 3


def test_a_line_cut_short_is_deleted_by_who_alone_writes(folder):
    folder.append({"study": "a", "step": 0})
    whole = folder.metrics_path.read_bytes()
    folder.metrics_path.write_bytes(whole + b"\0more")
    folder.rows()
    assert folder.metrics_path.read_bytes() == whole + b"\0more"
    with folder.writing():
        folder.rows()
    assert folder.metrics_path.read_bytes() == whole


def test_rows_of_other_studies_stay(folder):
    for study in "ab":
        for step in range(3):
            folder.append({"study": study, "step": step})
    folder.drop_rows("b", 1)
    assert [(row["study"], row["step"]) for row in folder.rows()] == [("a", 0), ("a", 1), ("a", 2), ("b", 0)]


def test_lost_rows_are_noticed(folder):
    folder.append({"study": "a", "step": 0})
    with pytest.raises(RunFolderError, match="holds 1 of the 5 steps of 'a'"):
        folder.drop_rows("a", 5)


def test_damage_in_the_middle_is_noticed(folder):
    folder.metrics_path.write_text('{"study": "a", "step": 0}\n{"study\n{"study": "a", "step": 2}\n')
    with pytest.raises(RunFolderError, match=r"line 2 of .* is damaged"):
        folder.rows()
    (folder.path / "config.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"config\.json is damaged"):
        folder.config()


def test_what_is_no_run_folder(tmp_path):
    with pytest.raises(RunFolderError, match="is not a run folder"):
        RunFolder.open(tmp_path)


def test_a_full_disk_is_said_in_a_sentence(folder, monkeypatch):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    monkeypatch.setattr("metaplax.runs.metrics.open_to_append", lambda _: Path("/dev/full").open("a"))  # noqa: SIM115
    with pytest.raises(RunFolderError, match=r"metrics\.jsonl cannot be written: No space left on device"):
        folder.append({"study": "a", "step": 0})


def test_a_read_only_place_is_said_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be written: Not a directory"):
        RunFolder.create(tmp_path / "file", "x", {})
    tmp_path.chmod(0o500)
    refusing = tmp_path if not _can_write(tmp_path) else Path("/proc")
    with pytest.raises(RunFolderError, match="cannot be written"):
        RunFolder.create(refusing, "x", {})


def _can_write(path: Path) -> bool:
    try:
        (path / "probe").touch()
    except OSError:
        return False
    return True


def test_only_one_process_writes(folder):
    script = (
        "import sys\nfrom metaplax.runs import RunFolder, RunFolderError\n"
        "try:\n    with RunFolder(sys.argv[1]).writing(): print('in')\n"
        "except RunFolderError as e: print(e)"
    )
    ask = [sys.executable, "-c", script, str(folder.path)]
    with folder.writing():
        said = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    assert "another process is writing to" in said
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout == "in\n"


def test_checkpoints_round_trip_and_the_last_three_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, "rule a")
    assert checkpoints.latest(STATE) == (0, STATE)
    for done in (2, 4, 6, 8):
        checkpoints.save(done, jax.tree.map(lambda x, d=done: x * d, STATE))
    assert checkpoints.steps() == [4, 6, 8]
    done, state = checkpoints.latest(STATE)
    assert done == 8
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(STATE), strict=True):
        np.testing.assert_array_equal(a, b * 8)


def largest(folder: Path) -> Path:
    return max((p for p in (folder / "state").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def truncate(folder: Path) -> None:
    path = largest(folder)
    path.write_bytes(path.read_bytes()[:-7])


def flip(folder: Path) -> None:
    path = largest(folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def remove(folder: Path) -> None:
    largest(folder).unlink()


def cut_short(folder: Path) -> None:
    (folder / "checksums.json").write_text('{"fing')


def edit_manifest(folder: Path, old: str, new: str) -> None:
    path = folder / "checksums.json"
    path.write_text(path.read_text().replace(old, new))


flip_fingerprint = partial(edit_manifest, old="rule a", new="rule q")
flip_step = partial(edit_manifest, old='"step": ', new='"step": 1')


@pytest.mark.parametrize("harm", [truncate, flip, remove, cut_short, flip_fingerprint, flip_step])
def test_a_damaged_checkpoint_is_passed_over(harm, tmp_path, capsys):
    checkpoints = Checkpoints(tmp_path, "rule a")
    for done in (2, 4):
        checkpoints.save(done, jax.tree.map(lambda x, d=done: x * d, STATE))
    harm(tmp_path / "4")
    done, state = checkpoints.latest(STATE)
    assert done == 2
    np.testing.assert_array_equal(state["a"], STATE["a"] * 2)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "4 is damaged" in said
    harm(tmp_path / "2")
    with pytest.raises(CheckpointError, match=r"none of the checkpoints .* is intact"):
        checkpoints.latest(STATE)


@pytest.mark.parametrize("place", ["a/9", "b/4"], ids=["another step", "another study"])
def test_a_checkpoint_that_was_renamed_is_passed_over(place, tmp_path, capsys):
    """The numbers of another step, or those of another arm, would go unnoticed."""
    for study in "ab":
        for done in (2, 4):
            Checkpoints(tmp_path / study, "rule").save(done, jax.tree.map(lambda x, d=done: x * d, STATE))
    shutil.rmtree(tmp_path / place, ignore_errors=True)
    (tmp_path / "a" / "4").rename(tmp_path / place)
    checkpoints = Checkpoints((tmp_path / place).parent, "rule")
    assert checkpoints.latest(STATE)[0] == 2
    assert f"{place} was not written here, but after 4 steps of study 'a'" in capsys.readouterr().err
    checkpoints.save(3, STATE)
    assert checkpoints.steps() == [2, 3], "a later one that was passed over is not kept in place of an intact one"


def test_checkpoints_of_the_version_before_can_be_resumed(tmp_path):
    """Their manifests say neither step nor study, and fingerprints were broken into lines."""
    Checkpoints(tmp_path / "a", "terms=(Oja(1), Hebb())").save(2, STATE)
    path = tmp_path / "a" / "2" / "checksums.json"
    text = "terms=(\n  Oja(1),\n  Hebb()\n)"
    files = json.loads(path.read_text())["files"] | {path.name: hashlib.sha256(text.encode()).hexdigest()}
    path.write_text(json.dumps({"fingerprint": text, "files": files}))
    assert Checkpoints(tmp_path / "a", "terms=(Oja(1), Hebb())").latest(STATE)[0] == 2
    path.write_text(json.dumps({"fingerprint": text.replace("1", "2"), "files": files}))
    with pytest.raises(CheckpointError, match="none of the checkpoints"):
        Checkpoints(tmp_path / "a", "terms=(Oja(2), Hebb())").latest(STATE)


def test_a_checkpoint_without_checksums_was_never_finished(tmp_path):
    checkpoints = Checkpoints(tmp_path, "rule a")
    checkpoints.save(2, STATE)
    (tmp_path / "2" / "checksums.json").rename(tmp_path / "2" / "elsewhere")
    assert checkpoints.latest(STATE) == (0, STATE)


def test_a_checkpoint_of_other_shapes_is_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path, "rule a")
    checkpoints.save(2, STATE)
    with pytest.raises(CheckpointError, match=r"array of shape \(5,\) in place of \(4,\)"):
        checkpoints.latest({**STATE, "a": np.zeros(4, np.float32)})
    with pytest.raises(CheckpointError, match="cannot be read by this version"):
        checkpoints.latest({**STATE, "c": np.zeros(4, np.float32)})


def test_what_a_killed_save_left_is_swept_away(tmp_path):
    checkpoints = Checkpoints(tmp_path, "rule a")
    for name in ("1", "3.partial"):
        (tmp_path / name / "state").mkdir(parents=True)
    checkpoints.save(2, STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["2"]


def test_a_checkpoint_of_another_rule_is_refused(tmp_path):
    Checkpoints(tmp_path, "terms=(PseudoGradient(), ErrorHebb())").save(2, STATE)
    with pytest.raises(CheckpointError, match=r"belongs to another study.*'ErrorHebb.*not 'Oja"):
        Checkpoints(tmp_path, "terms=(PseudoGradient(), Oja())").latest(STATE)


WRAPPED = 'RESOURCE_EXHAUSTED: Error writing "x" at local file "y": Failed to write: No space left on device [28]'


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), ValueError(WRAPPED)])
def test_a_checkpoint_that_cannot_be_written_leaves_the_others(error, tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, "rule a")
    checkpoints.save(2, STATE)

    def full(*_, **__):
        raise error

    monkeypatch.setattr(ocp.StandardCheckpointer, "save", full)
    with pytest.raises(CheckpointError, match=r"cannot be written: No space left on device$"):
        checkpoints.save(4, STATE)
    assert checkpoints.latest(STATE)[0] == 2


class StopAfter(mp.runs.Interruption):
    """An interruption that comes after so many questions."""

    def __init__(self, steps):
        self.left = steps

    @property
    def requested(self):  # pyright: ignore
        self.left -= 1
        return "SIGTERM" if self.left <= 0 else ""


def meta_train(folder, steps=6, **more):
    with folder.writing():
        return _meta_train(folder, steps, **more)


def _meta_train(folder, steps, **more):
    learner = small.learner("random", mp.rules.f_bio())
    recorder = FolderRecorder(folder, "f_bio", eqx.tree_pformat(learner), seconds=0.0)
    arguments = (learner, small.Blobs(), mp.estimators.Checkpointed(), optax.adam(1e-2), steps)
    return mp.meta_train(*arguments, key=jax.random.key(0), trials=2, recorder=recorder, **more)


def without_time(folder):
    return [{k: v for k, v in row.items() if k not in ("seconds", "cpu_seconds")} for row in folder.rows()]


def test_resuming_gives_the_same_bits(tmp_path):
    unbroken, broken = (RunFolder.create(tmp_path, name, {}) for name in ("unbroken", "broken"))
    expected = meta_train(unbroken)
    with pytest.raises(Interrupted, match="stopped by SIGTERM after meta-step 2") as caught:
        meta_train(broken, interruption=StopAfter(3))
    assert caught.value.step == 2
    with broken.metrics_path.open("a") as stream:
        stream.write(json.dumps({"study": "f_bio", "step": 2, "loss": [9, 9]}) + '\n{"study": "f_b')
    result = meta_train(broken)
    assert without_time(broken) == without_time(unbroken)
    np.testing.assert_array_equal(result.learner.rule.coefficients.values, expected.learner.rule.coefficients.values)
    assert meta_train(broken).history[0].keys() == expected.history[0].keys()
    assert without_time(broken) == without_time(unbroken)


def test_paths_may_be_strings(tmp_path):
    folder = RunFolder.create(str(tmp_path), "text", CONFIG)
    assert RunFolder.open(str(folder.path)).path == folder.path
    Checkpoints(str(tmp_path / "checkpoints"), "x").save(1, STATE)
    assert Checkpoints(tmp_path / "checkpoints", "x").steps() == [1]


def test_dtypes_survive_a_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path, "x")
    start = {"count": jnp.int32(3), "flag": jnp.array([True, False]), "half": jnp.ones(2, jnp.float16)}
    start |= {"numpy": np.ones(2), "whole": 3, "number": 0.1}
    checkpoints.save(1, jax.tree.map(np.asarray, start))
    _, state = checkpoints.latest(start)
    assert jax.tree.map(lambda x: (type(x), np.asarray(x).dtype), state) == jax.tree.map(
        lambda x: (type(x), np.asarray(x).dtype), start
    )
    assert state["number"] == 0.1, "not rounded to single precision"
