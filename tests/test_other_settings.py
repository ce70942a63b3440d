"""Runs are not resumed where they would go on with other numbers, and not in processes in which JAX would hang."""

import os
import re
import subprocess
import sys

import jax
import pytest

from metaplax import experiments
from metaplax.cli import main
from metaplax.runs import RunFolder, differences, environment
from metaplax.training import layout


@pytest.mark.parametrize(
    ("name", "value"),
    [("jax_default_prng_impl", "rbg"), ("jax_threefry_partitionable", False), ("jax_enable_x64", True)],
)
def test_other_random_numbers_are_refused(name, value, run, capsys):
    before = getattr(jax.config, name)
    jax.config.update(name, value)
    try:
        assert main(["resume", str(run)]) == 1
    finally:
        jax.config.update(name, before)
    said = capsys.readouterr().err
    assert f"cannot go on with other random numbers: {name} {before!r} is now {value!r}" in said
    assert said.count("\n") == 1
    assert main(["resume", str(run)]) == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"cores": 99}, "cores 99 is now"),
        ({"devices": ["tpu: x"]}, "devices ['tpu: x'] is now"),
        ({"xla_flags": "--fast"}, "xla_flags '--fast' is now"),
        ({"libraries": {"jax": "0.0.1"}}, "jax '0.0.1' is now"),
    ],
)
def test_other_last_digits_are_warned_of(changes, told, run):
    folder = RunFolder(run)
    folder.write_json("env.json", folder.env() | changes)
    with pytest.warns(UserWarning, match=f"results may differ in their last digits: {re.escape(told)}"):
        experiments.resume(run)


def test_what_an_earlier_version_did_not_say_is_not_compared():
    now = environment()
    assert differences({name: now[name] for name in ("cores", "devices", "libraries")}, now) == ([], [])


FORKED = """
import os, sys
from metaplax.training import choose_layout, use_all_cores
if sys.argv[1] == "after":
    choose_layout(1)
child = os.fork()
if child == 0:
    try:
        use_all_cores()
    except RuntimeError as error:
        print(error, flush=True)
        os._exit(3)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this operating system does not fork")
@pytest.mark.parametrize(("when", "code"), [("before", 0), ("after", 3)])
def test_a_process_forked_after_training_is_told_rather_than_left_waiting(when, code):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-c", FORKED, when]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == code, done.stderr
    assert ("was forked from one in which JAX has run" in done.stdout) == bool(code)


def test_meta_training_is_refused_there_too(monkeypatch):
    monkeypatch.setattr(layout, "_trained_in", os.getpid() + 1)
    with pytest.raises(RuntimeError, match="start it by multiprocessing"):
        layout.refuse_forks()
