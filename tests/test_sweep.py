"""Sweeps on this machine: killed, stopped, resumed, and with runs that fail."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import wandering
from metaplax.cli import main
from metaplax.runs import RunFolder

PATIENCE = 120


def start(*arguments: str) -> subprocess.Popen:
    """A sweep in a session of its own, so that it can be killed with its workers."""
    command = [sys.executable, "-m", "metaplax", "sweep", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(condition) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "nothing happens"
        time.sleep(0.02)


def is_in_the_middle(sweep) -> bool:
    return any(3 <= rows < 20 for rows in wandering.rows_in(sweep))


def test_an_unbroken_sweep_has_ordinary_runs(unbroken, capsys):
    names = [f"scale={scale},seed={seed}" for seed in (1, 2) for scale in ("1.0", "2.0")]
    assert [*json.loads((unbroken / "sweep.json").read_text())["tasks"]] == names
    for name in names:
        env = RunFolder(unbroken / name).env()
        scale, seed = (part.split("=")[1] for part in name.split(","))
        assert len(env["devices"]) == 1, "of one core each"
        assert env["command"][:2] == ["metaplax", "run"]
        assert "--scale" not in env["command"] or env["command"][env["command"].index("--scale") + 1] == scale
        assert RunFolder(unbroken / name).config()["config"]["seed"] == int(seed)
    assert main(["sweep", "status", str(unbroken), "--json"]) == 0
    states = json.loads(capsys.readouterr().out)
    assert {state["state"] for state in states.values()} == {"finished"}
    assert states[names[1]]["setting"] == {"scale": 2.0}


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_as_if_nothing_had_happened(unbroken, tmp_path, capsys):
    out = tmp_path / "sweep"
    process = start(wandering.write(tmp_path), *wandering.VALUES, "--pause", "0.1", "--out", str(out))
    wait_for(lambda: is_in_the_middle(out))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not all((out / name / "result.json").exists() for name in wandering.outcome(unbroken))
    assert main(["sweep", "resume", str(out)]) == 0
    assert "4 of 4 runs are finished" in capsys.readouterr().out
    assert wandering.outcome(out) == wandering.outcome(unbroken)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*.json*")}
    assert main(["sweep", "resume", str(out)]) == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*.json*")} == before, "finished runs are left alone"


@pytest.mark.slow
def test_a_sweep_that_is_asked_to_stop_or_loses_its_head_goes_on_later(unbroken, tmp_path):
    out = tmp_path / "sweep"
    process = start(wandering.write(tmp_path), *wandering.VALUES, "--pause", "0.1", "--out", str(out))
    wait_for(lambda: is_in_the_middle(out))
    process.terminate()
    said = process.communicate()[1]
    assert process.returncode == 130
    assert f"stopped by SIGTERM; go on with: metaplax sweep resume {out}" in said
    assert any(path.name.isdecimal() for path in out.glob("*/checkpoints/*/*")), "workers have written checkpoints"
    before = sum(wandering.rows_in(out))
    process = start("resume", str(out))
    wait_for(lambda: sum(wandering.rows_in(out)) > before)
    process.kill()  # but not its workers, which notice
    process.communicate()
    process = start("resume", str(out))
    assert "4 of 4 runs are finished" in process.communicate()[0]
    assert process.returncode == 0
    assert wandering.outcome(out) == wandering.outcome(unbroken)


def test_a_run_that_fails_does_not_stop_others(tmp_path, capsys):
    out = tmp_path / "sweep"
    options = ("--scale", "1", "13", "-1", "--meta-steps", "2", "--out", str(out), "--json")
    assert main(["sweep", wandering.write(tmp_path), *options]) == 1
    said = capsys.readouterr()
    failed = json.loads(said.out)["failed"]
    assert failed["scale=13.0,seed=1"] == "ZeroDivisionError: thirteen"
    assert "its process ended by SIGKILL" in failed["scale=-1.0,seed=1"]
    assert "scale=13.0,seed=1 failed: ZeroDivisionError" in said.err
    assert f"try again with: metaplax sweep resume {out}" in said.err
    assert "Traceback" in (out / "log.txt").read_text()
    assert (out / "scale=1.0,seed=1" / "report.html").exists()
    assert main(["sweep", "status", str(out)]) == 1
    table = capsys.readouterr().out
    assert "1 finished, 2 failed" in table
    page = (out / "report.html").read_text()
    assert "2 of 3 runs are not finished" in page
    assert "ZeroDivisionError: thirteen" in page


def test_only_one_process_hands_out_runs(unbroken, capsys):
    with RunFolder(unbroken).writing():
        assert main(["sweep", "resume", str(unbroken)]) == 1
    assert "another process hands out the runs of this sweep" in capsys.readouterr().err


def test_what_hands_out_runs_holds_no_jax():
    code = (
        "import sys; import metaplax.cli.sweep, metaplax.cli.main; print('jax' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
