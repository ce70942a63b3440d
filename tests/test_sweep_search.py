"""Searches with Optuna: on one machine, killed and resumed, and by a quantity that is not measured."""

import json
import os
import signal
import sys
from importlib.util import find_spec

import pytest

import wandering
from metaplax import reports
from metaplax.cli import main
from metaplax.cli.parsing import UsageError
from metaplax.cli.sweep_options import read_options
from metaplax.runs import Interruption
from metaplax.runs.sweep_folder import SweepFolder
from metaplax.sweeps import search
from test_sweep import start, wait_for

pytestmark = pytest.mark.skipif(
    not find_spec("optuna"), reason="Optuna is not installed: pip install 'metaplax[search]'"
)
SPACE = ("--scale", "1e-3", "1", "--log", "scale", "--loud", "True", "False", "--search", "optuna")
GOAL = ("--maximise", "accuracy.here", "--settings", "3", "--meta-steps", "4", "--checkpoint-seconds", "0")


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """The plan of a search."""
    monkeypatch.setattr("sys.argv", ["metaplax"])
    return SweepFolder.begin(tmp_path / "sweep", read_options([wandering.write(tmp_path), *SPACE, *GOAL])[0])


def best_of(sweep: SweepFolder) -> tuple:
    trials = search._study(sweep).get_trials()
    return [trial.value for trial in trials], [trial.params for trial in trials]


def test_a_search_that_loses_a_worker_tries_its_setting_once_more(sweep, tmp_path):
    again = SweepFolder.begin(tmp_path / "again", sweep.plan)
    for _ in range(4):
        search.search_once(again, Interruption())
    assert search.settings_left(again) == 0
    number, lock = search._asked(sweep)  # and its process dies
    lock.release()
    assert search.settings_left(sweep) == 3
    for _ in range(3):
        search.search_once(sweep, Interruption())
    assert best_of(sweep) == best_of(again), "a single worker finds the same settings"
    assert sweep.chosen(search._file(number))["tries"] == 2
    values, settings = best_of(sweep)
    assert len({json.dumps(one) for one in settings}) == 3
    found = reports.read_sweep(sweep.path)
    best = found.best("here")
    assert best.values["scale"] == settings[values.index(max(values))]["scale"]
    assert 1e-3 <= best.values["scale"] <= 1
    assert found.mean(best, "here") == pytest.approx(max(values))
    assert "this is a search on accuracy.here, which is not measured on validation data" in found.verdicts()[0]


def test_a_setting_whose_process_dies_twice_has_failed(sweep):
    for _ in range(2):
        with search._one_at_a_time(sweep):
            number, lock = search._left_behind(sweep) or search._asked(sweep)
        lock.release()
    assert number == 0
    search.search_once(sweep, Interruption())
    states = sweep.states()
    assert [state["state"] for state in states.values()] == ["failed", "finished"]
    assert search.settings_left(sweep) == 1


def test_a_search_that_is_stopped_does_not_count_as_dead(sweep):
    class AtOnce(Interruption):
        requested = "SIGTERM"

    for _ in range(4):
        search.search_once(sweep, AtOnce())
    assert sweep.chosen(search._file(0))["tries"] <= 1
    assert len(sweep.runs()) == 1


def test_workers_share_a_search_that_is_killed_and_resumed(tmp_path, capsys):
    out = tmp_path / "sweep"
    options = (*SPACE, *GOAL, "--seeds", "2", "--pause", "0.1", "--out", str(out))
    process = start(wandering.write(tmp_path), *options)
    wait_for(lambda: any(wandering.rows_in(out)))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert main(["sweep", "resume", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["states"]) == 6
    assert {state["state"] for state in found["states"].values()} == {"finished"}
    values, _ = best_of(SweepFolder.open(out))
    assert len(values) == 3
    assert None not in values


def test_a_search_by_what_is_not_measured_ends(tmp_path, capsys):
    options = (*SPACE, *GOAL, "--maximise", "accuracy.heer", "--out", str(tmp_path / "sweep"), "--workers", "1")
    assert main(["sweep", wandering.write(tmp_path), *options]) == 1
    assert "has no quantity 'accuracy.heer': did you mean 'accuracy.here'" in capsys.readouterr().err
    assert len(SweepFolder.open(tmp_path / "sweep").runs()) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (SPACE, "a search needs one quantity"),
        ((*SPACE, *GOAL, "--minimise", "loss.here"), "a search needs one quantity"),
        (("--search", "optuna", *GOAL), "a search needs fields with several values"),
        ((*SPACE, *GOAL, "--zip"), "neither --grid nor --zip"),
        ((*SPACE, *GOAL, "--settings", "0"), "settings must be from 1"),
        ((*SPACE, *GOAL, "--log", "loud"), "--log loud: a logarithmic scale needs two numbers above zero"),
        (("--scale", "1", "2", *GOAL), "belong to a search: add --search optuna"),
    ],
)
def test_what_makes_no_search_is_said_in_a_sentence(options, sentence, tmp_path):
    with pytest.raises(UsageError, match=sentence):
        read_options([wandering.write(tmp_path), *options])


@pytest.mark.filterwarnings("default")
def test_a_missing_extra_is_said_in_a_sentence(sweep, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["sweep", "resume", str(sweep.path), "--on", "ray"]) == 2
    said = capsys.readouterr().err
    assert "warning: this is a search on accuracy.here, which is not measured on validation data" in said
    assert "Optuna is not installed: pip install 'metaplax[search]'" in said
