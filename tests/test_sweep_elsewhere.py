"""Sweeps on a Ray cluster of two nodes, one of which goes away, and through submitit."""

import os
import socket
import subprocess
import sys
from importlib.util import find_spec

import pytest

import wandering
from metaplax import __version__
from metaplax.cli import main
from metaplax.cli.sweep_options import read_options
from metaplax.experiments import ConfigError
from metaplax.runs.sweep_folder import SweepFolder
from metaplax.sweeps import on_ray, on_slurm

with_ray = pytest.mark.skipif(not find_spec("ray"), reason="Ray is not installed: pip install 'metaplax[sweep]'")
with_submitit = pytest.mark.skipif(
    not find_spec("submitit"), reason="submitit is not installed: pip install 'metaplax[slurm]'"
)
LOSE_A_NODE = """
import sys, threading, time
from pathlib import Path
from ray.cluster_utils import Cluster
from metaplax.cli import main

def lose(cluster, node, out):
    begun = []
    while len(begun) < 4 or min(begun) < 3:
        time.sleep(0.02)
        begun = [rows.read_text().count("\\n") for rows in out.glob("*/metrics.jsonl")]
    cluster.remove_node(node, allow_graceful=False)
    print("lost", flush=True)

experiment, out = sys.argv[1], Path(sys.argv[2])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
node = cluster.add_node(num_cpus=2)
cluster.wait_for_nodes()
threading.Thread(target=lose, args=(cluster, node, out), daemon=True).start()
code = main(["sweep", experiment, *sys.argv[3:], "--out", str(out), "--on", "ray", "--ray-address", cluster.address])
cluster.shutdown()
sys.exit(code)
"""

SUBMIT = """
import sys
from metaplax.runs.sweep_folder import SweepFolder
from metaplax.sweeps import on_slurm
sweep = SweepFolder.open(sys.argv[1])
jobs = on_slurm.submit(sweep, list(sweep.plan["tasks"]), ["time=5"], 0, cluster="local")
print(*[job.result() for job in jobs], flush=True)
"""


@with_ray
@pytest.mark.slow
def test_a_node_that_goes_away_changes_nothing(unbroken, tmp_path):
    out = tmp_path / "sweep"
    command = [
        sys.executable,
        "-c",
        LOSE_A_NODE,
        wandering.write(tmp_path),
        str(out),
        *wandering.VALUES,
        "--pause",
        "0.4",
    ]
    log = tmp_path / "log"
    environment = os.environ | {"WANDERING_LOG": str(log)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost" in done.stdout
    assert "4 of 4 runs are finished" in done.stdout
    assert wandering.outcome(out) == wandering.outcome(unbroken)
    assert len(log.read_text().split()) > 2 * 4, "some studies were begun again"


class FakeRay:
    """A cluster of one node, which says what it is told to."""

    def __init__(self, answer):
        self.answer = answer

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": 2}, "NodeID": "1" * 56, "NodeManagerAddress": "10.0.0.7"}]

    def remote(self, task):
        return self

    def options(self, **_):
        return type("Task", (), {"remote": lambda _, path: path})()

    def get(self, answer, timeout):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@with_ray
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((None, None), "10.0.0.7 has no metaplax: install metaplax"),
        (("0.0.7", None), "10.0.0.7 has metaplax 0.0.7: install metaplax"),
        ((__version__, None), "10.0.0.7 does not see .*: give --out a folder that all nodes share"),
        ((__version__, b"another"), "10.0.0.7 does not see .*: give --out a folder that all nodes share"),
        (TimeoutError("too late"), "10.0.0.7 does not answer: too late"),
    ],
)
def test_a_node_that_cannot_take_part_is_named(answer, sentence, sweep):
    with pytest.raises(ConfigError, match=sentence):
        on_ray._check_nodes(FakeRay(answer), SweepFolder.open(sweep))


@pytest.fixture
def sweep(tmp_path):
    """The plan of a sweep none of whose runs has begun."""
    plan, _, _ = read_options([wandering.write(tmp_path), *wandering.VALUES])
    return SweepFolder.begin(tmp_path / "sweep", plan).path


@with_ray
def test_an_address_that_does_not_answer_is_said_at_once(sweep, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert main(["sweep", "resume", str(sweep), "--on", "ray"]) == 2
    assert f"there is no Ray cluster to join at '{address}': " in capsys.readouterr().err
    assert not list(sweep.glob("*/config.json"))


@pytest.mark.parametrize(("package", "engine"), [("ray", "ray"), ("submitit", "slurm")])
def test_a_missing_extra_is_said_in_a_sentence(package, engine, sweep, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(on_slurm.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert main(["sweep", "resume", str(sweep), "--on", engine, "--slurm", "time=5"]) == 2
    assert "is not installed: pip install 'metaplax[s" in capsys.readouterr().err


@with_submitit
def test_runs_are_submitted(unbroken, sweep):
    # In a process of its own, since submitit changes where logs go.
    done = subprocess.run([sys.executable, "-c", SUBMIT, str(sweep)], capture_output=True, text=True)
    assert done.stdout.split() == ["finished"] * 4, done.stderr
    assert wandering.outcome(sweep) == wandering.outcome(unbroken)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["time=5"], "there is no sbatch here"),
        ([], "Say --slurm time=MINUTES"),
        (["partition"], "--slurm takes NAME=VALUE, such as partition=long, not 'partition'"),
        (["time=soon"], "Say --slurm time=MINUTES"),
    ],
)
def test_what_slurm_needs_is_said_before_anything_is_submitted(options, sentence, sweep, monkeypatch, capsys):
    monkeypatch.setattr(on_slurm.shutil, "which", lambda _: None)
    assert main(["sweep", "resume", str(sweep), "--on", "slurm", *(["--slurm", *options] if options else [])]) == 2
    assert sentence in capsys.readouterr().err
