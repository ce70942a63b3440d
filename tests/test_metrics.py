"""The lines of ``metrics.jsonl``: checked one after the other, read once, and thinned in very long runs."""

import json
import os

import numpy as np
import pytest

from metaplax.runs import CheckpointError, FolderRecorder, RunFolder, RunFolderError, metrics
from metaplax.runs.checksums import sealed_line
from metaplax.runs.metrics import covered
from metaplax.runs.thinning import MOST_ROWS, next_recorded

STATE = np.zeros(2, np.float32)


def folder_with(path, steps, *, study="a", final=True) -> RunFolder:
    folder = RunFolder.create(path, "some", {})
    for step in range(steps):
        folder.append({"study": study, "step": step, "seconds": 0.1, "cpu_seconds": 0.1, "loss": [1.0, float("nan")]})
    if final:
        folder.append({"study": study, "step": steps, "final": True, "theta0": [1.0, 2.0]})
    folder.close()
    return folder


def edited(folder: RunFolder, edit) -> RunFolder:
    lines = folder.metrics_path.read_bytes().splitlines(keepends=True)
    folder.metrics_path.write_bytes(b"".join(edit(lines)))
    return folder


def row(**values) -> bytes:
    return sealed_line(json.dumps({"study": "a", "step": 3, "loss": [1.0, 2.0]} | values).encode()) + b"\n"


def moved(lines, first, second):
    lines[first], lines[second] = lines[second], lines[first]
    return lines


IN_PLACE = {
    "a line is lost": (lambda lines: [*lines[:2], *lines[3:]], 3, "of step 3 of 'a', but step 2 comes next"),
    "a line is doubled": (lambda lines: [*lines[:3], *lines[2:]], 4, "of step 2 of 'a', but step 3 comes next"),
    "one lost, another doubled": (lambda lines: [lines[0], *lines[:1], *lines[2:]], 2, "step 1 comes next"),
    "two are swapped": (lambda lines: moved(lines, 1, 2), 2, "of step 2 of 'a', but step 1 comes next"),
    "the last step is lost": (lambda lines: [*lines[:3], lines[-1]], 4, "of step 4 of 'a', but step 3 comes next"),
    "lines after the final one": (lambda lines: [*lines, lines[0]], 6, "comes after the last one of 'a'"),
    "a digit is changed": (
        lambda lines: [line.replace(b'"seconds":0.1', b'"seconds":0.2') for line in lines],
        1,
        "check",
    ),
}
REPLACED = {
    "a ragged row": (row(loss=[1.0]), "one number for each trial"),
    "no trials": (row(loss=[]), "one number for each trial"),
    "a number in place of a list": (row(loss=1.0), "one number for each trial"),
    "a list of lists": (row(loss=[[1.0], [2.0]]), "Expected"),
    "text": (row(loss=["x", "y"]), "Expected"),
    "an object": (row(loss={"x": 1}), "Expected"),
    "null": (row(loss=None), "Expected"),
    "a step that is no number": (row(step="4"), "no study and step"),
    "a step that is true": (row(step=True), "no study and step"),
    "a negative step": (row(step=-1), "it is of step -1 of 'a', but step 3 comes next"),
    "a study that is a number": (row(study=1), "no study and step"),
    "a time that is text": (row(seconds="1"), "seconds are not a number"),
    "half an episode": (row(meta_batch=[0, 0]), "numbers of episodes make no sense"),
    "no object": (b"[]\n", "Expected `object`"),
    "not JSON": (b'{"study\n', "line 4 of"),
    "not a number of JSON": (b'{"study": "a", "step": 3, "loss": [NaN, 1]}\n', "line 4 of"),
    "too large a number": (b'{"study": "a", "step": 3, "loss": [1e999, 1]}\n', "line 4 of"),
    "not text": (b"\xff\xfe\n", "line 4 of"),
    "nested deeply": (b'{"study": ' + b"[" * 100_000 + b"\n", "line 4 of"),
    "an empty line": (b"\n", "line 4 of"),
}


@pytest.mark.parametrize(("edit", "line", "message"), IN_PLACE.values(), ids=IN_PLACE)
def test_lines_must_follow_each_other(edit, line, message, tmp_path):
    folder = edited(folder_with(tmp_path, 4), edit)
    with pytest.raises(
        RunFolderError, match=rf"line {line} of .*metrics\.jsonl is damaged: .*{message}.*resume the run"
    ):
        folder.rows()


@pytest.mark.parametrize(("line", "message"), REPLACED.values(), ids=REPLACED)
def test_lines_must_be_well_formed(line, message, tmp_path):
    folder = edited(folder_with(tmp_path, 4), lambda lines: [*lines[:3], line, *lines[4:]])
    with pytest.raises(RunFolderError, match=message) as caught:
        folder.rows()
    assert "line 4 of" in str(caught.value)


def test_lines_of_unknown_studies_and_with_other_values_are_refused(tmp_path):
    folder = folder_with(tmp_path, 2)
    assert len(folder.rows(known=["a", "b"])) == 3
    with pytest.raises(RunFolderError, match="lines of 'a', which is no study of this run"):
        folder.rows(known=["b"])
    edited(folder, lambda lines: [lines[0], row(step=1)])
    folder.rows(known=["a"])
    edited(folder, lambda lines: [lines[0], row(step=1, angle=[1, 2])])
    with pytest.raises(RunFolderError, match="step 1 of 'a' has other values"):
        folder.rows(known=["a"])


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_refused_at_once(kind, tmp_path):
    folder = folder_with(tmp_path, 0, final=False)
    folder.metrics_path.unlink(missing_ok=True)
    if kind == "folder":
        folder.metrics_path.mkdir()
    else:
        os.mkfifo(folder.metrics_path)
    with pytest.raises(RunFolderError, match=r"metrics\.jsonl cannot be read"):
        folder.rows()


def test_the_file_is_read_once_while_nobody_else_writes(tmp_path, monkeypatch):
    folder, read, real = folder_with(tmp_path, 3, final=False), [], metrics._read

    def counted(path):
        read.append(path)
        return real(path)

    monkeypatch.setattr(metrics, "_read", counted)
    with folder.writing():
        recorder = FolderRecorder(folder, "a", "x", seconds=1e9)
        recorder.resume(STATE, 9)
        for step in range(9):
            recorder.record(step, {"loss": STATE}, 0.1, 0.1)
        recorder.finish(9, {"theta0": STATE})
        assert recorder.recorded() == list(range(9))
    assert len(read) == 2, "before the rows without a checkpoint are dropped, and after"
    assert [line["step"] for line in folder.rows()] == list(range(10))


@pytest.mark.parametrize(
    ("kept", "done", "said"),
    [(5, 4, ""), (4, 4, ""), (3, 3, "4 is passed over: only 3 steps are recorded"), (2, 2, "3 is passed over")],
)
def test_an_older_checkpoint_is_used_if_lines_are_lost(kept, done, said, tmp_path, capsys):
    folder = folder_with(tmp_path, 5, final=False)
    recorder = FolderRecorder(folder, "a", "x")
    for step in (2, 3, 4):
        recorder.checkpoint(step, STATE + step)
    edited(folder, lambda lines: lines[:kept])
    found, state = recorder.resume(STATE, 9)
    assert found == done
    np.testing.assert_array_equal(state, STATE + done)
    assert len(folder.rows()) == done
    assert said in capsys.readouterr().err


def test_if_all_checkpoints_are_newer_the_user_is_told_what_to_do(tmp_path):
    folder = edited(folder_with(tmp_path, 5, final=False), lambda lines: lines[:1])
    recorder = FolderRecorder(folder, "a", "x")
    recorder.checkpoint(4, STATE)
    with pytest.raises(RunFolderError, match=r"holds 1 of the 4 steps of 'a'.*put back a copy of it, or delete .*/a"):
        recorder.resume(STATE, 9)
    assert len(folder.rows()) == 1


@pytest.mark.parametrize("final", [True, False])
def test_fewer_steps_than_were_done_delete_nothing(final, tmp_path):
    folder = folder_with(tmp_path, 5, final=final)
    recorder = FolderRecorder(folder, "a", "x")
    recorder.checkpoint(2, STATE)
    before = folder.metrics_path.read_bytes()
    with pytest.raises(CheckpointError, match=r"5 steps of 'a' .* are done already, more than the 4"):
        recorder.resume(STATE, 4)
    assert folder.metrics_path.read_bytes() == before


def recorded_steps(steps, width, start=0):
    found, step = [], start
    while (step := next_recorded(step, steps, width)) < steps:
        found.append(step)
        step += 1
    return found


@pytest.mark.parametrize(("steps", "width"), [(1, 1), (37, 4), (MOST_ROWS, 100), (3, 10**9)])
def test_all_steps_of_usual_runs_are_recorded(steps, width):
    assert recorded_steps(steps, width) == list(range(steps))


@pytest.mark.parametrize("width", [1, 60, 200, 1000, 4000])
def test_a_million_steps_take_less_than_100_megabytes(width):
    steps = 1_000_000
    found = recorded_steps(steps, width)
    line = sealed_line(json.dumps({"study": "f_bio", "step": steps, "seconds": 0.0, "cpu_seconds": 0.0}).encode())
    assert len(found) * (len(line) + 22 * width) < 100e6
    edge = len([step for step in found if step < 1000]), len([step for step in found if step >= steps - 1000])
    assert min(edge) >= min(1000, 2_000_000 // width // 4)


def test_lines_of_long_runs_say_for_how_many_steps_they_stand(tmp_path, monkeypatch):
    monkeypatch.setattr("metaplax.runs.thinning.MOST_ROWS", 16)
    folders = [RunFolder.create(tmp_path, name, {}) for name in ("unbroken", "broken")]
    for folder, stops in zip(folders, ([], [3, 21, 22, 50]), strict=True):
        for stop in [*stops, 100]:
            recorder = FolderRecorder(folder, "a", "x")
            done, _ = recorder.resume(STATE, 100)
            for step in range(done, stop):
                recorder.record(step, {"loss": STATE + step}, 1.0, 1.0)
            recorder.checkpoint(stop, STATE + stop)
        recorder.finish(100, {"theta0": STATE})
        folder.close()
    unbroken, broken = ([(r["step"], r.get("stride", 1)) for r in folder.rows()] for folder in folders)
    assert unbroken == broken
    steps = [step for step, _ in unbroken]
    assert steps == [0, 1, 2, 3, *range(8, 96, 8), 96, 97, 98, 99, 100]
    spent = [line["seconds"] for line in folders[0].rows() if "seconds" in line]
    assert sum(spent) == 100.0
    edited(folders[0], lambda lines: [*lines[:6], *lines[7:]])
    with pytest.raises(RunFolderError, match="of step 32 of 'a', but step 24 comes next"):
        folders[0].rows()


def test_how_many_steps_lines_cover():
    assert covered([], 10) == 0
    assert covered([{"step": 4, "loss": [1.0]}, {"step": 5, "final": True}], 10) == 5
