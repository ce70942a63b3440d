"""One run of two processes: as one process, also if one of them is stopped or killed; refused if they do not fit."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from shutil import which

import numpy as np
import pytest

from metaplax.cli import main

TEXT = '''
from dataclasses import dataclass, replace

import jax
import optax

import metaplax as mp
import small
from metaplax.estimators import Reverse
from metaplax.experiments import AbstractExperiment, MetaTraining


@dataclass(frozen=True)
class Blobs(AbstractExperiment):
    """A small rule, with a batch of episodes that the processes share."""

    data: str = "none"
    trials: int = 1
    meta_steps: int = 40

    def studies(self, data, load):
        learner = small.learner("random", mp.rules.ehebb())
        return {"one": MetaTraining(learner, small.Blobs(), Reverse(), optax.adam(1e-2), self.meta_steps, meta_batch=8)}


@dataclass(frozen=True)
class Pair(Blobs):
    """Two arms that differ in one number."""

    def studies(self, data, load):
        one = super().studies(data, load)["one"]
        return {"one": one, "other": replace(one, optimizer=optax.adam(1e-3))}
'''


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(which("taskset") is None, reason="there is no taskset, to choose cores by"),
]


@pytest.fixture
def place(tmp_path) -> Path:
    (tmp_path / "blobs.py").write_text(TEXT)
    return tmp_path


def command(place: Path, *arguments: str, core: int = 0) -> subprocess.Popen:
    """A process with one device, whose output is kept."""
    here = str(Path(__file__).parent)
    cores = sorted(os.sched_getaffinity(0))
    paths = os.pathsep.join([here, *(path for path in sys.path if path)])
    return subprocess.Popen(
        ["taskset", "-c", str(cores[core % len(cores)]), sys.executable, "-m", "metaplax", *arguments],
        cwd=place,
        env={**os.environ, "PYTHONPATH": paths, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def two(place: Path, *arguments: str) -> list[subprocess.Popen]:
    where = ["--distributed", "--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2"]
    return [command(place, *arguments, *where, "--process", str(number), core=number) for number in range(2)]


def ended(processes: list[subprocess.Popen]) -> list[str]:
    return [process.communicate(timeout=240)[0] for process in processes]


def lines(folder: Path) -> list[dict]:
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def after_steps(place: Path, count: int, processes: list[subprocess.Popen]) -> Path:
    """The run folder, as soon as so many steps are recorded."""
    while all(process.poll() is None for process in processes):
        for folder in (place / "runs").glob("*/"):
            if len(lines(folder)) >= count:
                return folder
        time.sleep(0.02)
    raise AssertionError(ended(processes))


def test_two_processes_stopped_resumed_killed_and_resumed_by_one_equal_one(place):
    options = ["run", "blobs.py:Blobs", "--checkpoint-seconds", "0", "--out"]
    alone = command(place, *options, "alone")
    said = ended([alone])
    assert alone.returncode == 0, said

    processes = two(place, *options, "runs")
    folder = after_steps(place, 3, processes)
    processes[1].send_signal(signal.SIGTERM)
    said = ended(processes)
    assert [process.returncode for process in processes] == [130, 130], said
    stopped = len(lines(folder))
    assert f"stopped by a signal to another process after meta-step {stopped}" in said[0]
    assert f"stopped by SIGTERM after meta-step {stopped}" in said[1]
    assert 3 <= stopped < 40

    processes = two(place, "resume", str(folder))
    after_steps(place, stopped + 3, processes)
    processes[1].kill()
    said = ended(processes)
    # If JAX notices first, it aborts.
    assert processes[0].returncode in (1, -signal.SIGABRT), said
    assert "another process of this run was lost" in said[0] or "another task died" in said[0]
    assert stopped + 3 <= len(lines(folder)) < 40

    alone = command(place, "resume", str(folder))
    (said,) = ended([alone])
    assert alone.returncode == 0, said
    assert "warning: results may differ in their last digits: devices" in said
    assert [path.name for path in (place / "runs").iterdir()] == [folder.name], "only one process writes"
    for ours, expected in zip(lines(folder), lines(next((place / "alone").iterdir())), strict=True):
        assert ours["step"] == expected["step"]
        for name in ("loss", "accuracy", "theta0", "theta2"):
            if name in expected:
                np.testing.assert_allclose(ours[name], expected[name], rtol=1e-6)


def test_arms_share_a_launch_over_two_processes(place):
    options = ["run", "blobs.py:Pair", "--meta-steps", "4", "--out"]
    apart = command(place, *options, "alone", "--together", "no")
    said = ended([apart])
    assert apart.returncode == 0, said
    processes = two(place, *options, "runs", "--together", "yes")
    said = ended(processes)
    assert [process.returncode for process in processes] == [0, 0], said
    ours, expected = (lines(next((place / name).iterdir())) for name in ("runs", "alone"))
    losses = lambda rows: {(row["study"], row["step"]): row["loss"] for row in rows if "loss" in row}  # noqa: E731
    assert losses(ours).keys() == losses(expected).keys()
    for key, loss in losses(expected).items():
        np.testing.assert_allclose(losses(ours)[key], loss, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (
            ["--process", "1"],
            2,
            "--coordinator, --processes and --process are about a run of several: add --distributed",
        ),
        (["--distributed", "--coordinator", "here"], 1, "such as 10.0.0.1:9911, not 'here'"),
        (["--distributed", "--coordinator", "a:1", "--processes", "2", "--process", "2"], 1, "numbered 0 to 1, so"),
    ],
)
def test_what_does_not_make_a_run_of_several_is_one_sentence(options, code, told, capsys, monkeypatch):
    for name in ("SLURM_JOB_ID", "OMPI_MCA_orte_hnp_uri", "PMIX_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    assert main(["run", "quickstart", "--preset", "smoke", *options]) == code
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1


def test_processes_that_are_not_known_are_asked_for(place, monkeypatch):
    for name in ("SLURM_JOB_ID", "OMPI_MCA_orte_hnp_uri", "PMIX_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    process = command(place, "run", "quickstart", "--preset", "smoke", "--distributed")
    said, _ = process.communicate()
    assert process.returncode == 1
    assert said.startswith("metaplax: the processes of this run are not known: give --coordinator HOST:PORT")
    assert said.count("\n") == 1


def test_processes_with_other_options_are_refused(place):
    port = free_port()
    several = ["--distributed", "--coordinator", f"127.0.0.1:{port}", "--processes", "2", "--process"]
    processes = [
        command(place, "run", "blobs.py:Blobs", "--seed", str(number), *several, str(number), core=number)
        for number in range(2)
    ]
    for said, process in zip(ended(processes), processes, strict=True):
        assert process.returncode == 1, said
        assert "metaplax: process 1 has another configuration than process 0: start all of them with the same" in said
    assert not (place / "runs").exists()
