"""Estimators side by side: those of one's own, from Python, their errors, and what a resumed comparison keeps."""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import metaplax as mp
from metaplax import reports
from metaplax.cli import main
from metaplax.estimators import Contrastive, EvolutionStrategies, Reverse, Truncated
from metaplax.experiments import ConfigError, EstimatorComparison, RunOptions, resume, run
from metaplax.experiments.from_file import load_from_file
from metaplax.experiments.studies.equal_cost import equal_cost
from metaplax.experiments.studies.estimator_study import quality
from metaplax.learners import IncompatibleError
from metaplax.runs import Interrupted, Interruption, RunFolder, RunFolderError

FILE = '''
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

import metaplax as mp
from metaplax.experiments import AbstractExperiment, MetaTraining
from metaplax.learners import AbstractLearner


class Mean(AbstractLearner):
    """Follows numbers with a meta-learned rate, from a meta-learned start."""

    rate: jax.Array
    start: jax.Array

    def init(self, key):
        return self.start

    def update(self, state, example, key):
        return state + self.rate * (example - state)

    def evaluate(self, state, query):
        return jnp.mean((state - query[0]) ** 2), {}

    def check(self, episode, classes=None): ...


class Halved(mp.estimators.Checkpointed):
    """Half of the exact meta-gradient."""

    def value_and_grad(self, learner, episode, key):
        found = super().value_and_grad(learner, episode, key)
        return eqx.tree_at(lambda it: it.gradient, found, jax.tree.map(lambda leaf: leaf / 2, found.gradient))


class Exploding(mp.estimators.Checkpointed):
    """No gradient at all wherever the start of the inner loop has come above half."""

    def value_and_grad(self, learner, episode, key):
        found = super().value_and_grad(learner, episode, key)
        lost = jnp.where(learner.start[0] > 0.52, jnp.nan, 1.0)
        return eqx.tree_at(lambda it: it.gradient, found, jax.tree.map(lambda leaf: leaf * lost, found.gradient))


class Needy(mp.estimators.Reverse):
    amount: float


last_two = mp.estimators.Truncated(2)
NUMBER = 1
learner = Mean(jnp.array(0.1), jnp.array([0.5, -0.5]))


def numbers(key):
    level, noise = jax.random.split(key)
    drawn = 1 + jax.random.normal(level) + jax.random.normal(noise, (8, 2))
    return mp.tasks.Episode(drawn[:6], drawn[6:])


tasks = mp.tasks.from_function(numbers)


@dataclass(frozen=True)
class Tiny(AbstractExperiment):
    data: str = "none"

    def studies(self, data, load):
        return {"one": MetaTraining(learner, tasks, mp.estimators.Reverse(), optax.sgd(0.05), 4)}
'''
CLOCKS = {"seconds", "cpu_seconds", "cpu_seconds_per_episode"}


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FILE)
    return tmp_path / "mine.py"


def comparison(file, *estimators, **more) -> EstimatorComparison:
    names = estimators or ("es", f"{file}:last_two")
    settings = {"trials": 2, "data": "none", "meta_steps": 6, "probes": 1, **more}
    return EstimatorComparison(experiment=f"{file}:Tiny", estimators=names, **settings)


class After(Interruption):
    """Asks to stop after so many steps."""

    def __init__(self, steps: int):
        self.left = steps

    @property
    def requested(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        self.left -= 1
        return "SIGTERM" if self.left < 0 else ""


def without_clocks(folder: RunFolder) -> list[dict]:
    rows = [{name: value for name, value in row.items() if name not in CLOCKS} for row in folder.rows()]
    return sorted(rows, key=lambda row: (row["study"], row["step"]))


def quantities(folder: RunFolder) -> dict:
    return {entry["name"]: entry for entry in folder.read_json("result.json")["quantities"]}


def test_a_resumed_comparison_gives_the_same_result(file, tmp_path):
    unbroken = run(comparison(file), RunOptions(out=tmp_path / "unbroken"))
    with pytest.raises(Interrupted):
        run(comparison(file), RunOptions(out=tmp_path / "broken", checkpoint_seconds=1e9), interruption=After(4))
    (path,) = (tmp_path / "broken").iterdir()
    measured = (path / "measured" / "es.json").read_bytes()
    broken = resume(path)
    assert (path / "measured" / "es.json").read_bytes() == measured, "it is measured once"
    assert without_clocks(broken) == without_clocks(unbroken)
    once, again = quantities(unbroken), quantities(broken)
    assert once.keys() == again.keys()
    timed = ("cpu_seconds", "loss_at_equal_cost")
    assert all(again[name] == once[name] for name in once if not name.startswith(timed))
    final = {row["study"]: row["cpu_seconds_per_episode"][0] for row in broken.rows() if row.get("final")}
    assert {study: again[f"cpu_seconds_per_episode.{study}"]["mean"] for study in final} == final
    # Nothing in the table depends on how long the steps took.
    slower = [{**row, "cpu_seconds": 1e3, "seconds": 1e3} for row in broken.rows()]
    derived = {one.name: one.as_json() for one in equal_cost(slower, 5, "nats")}
    assert derived.items() <= again.items()


def test_estimators_of_ones_own(file, tmp_path, capsys):
    names = ["reverse", "mine.py:Halved", "mine.py:last_two", "t1t2"]
    arguments = [
        "--data",
        "none",
        "--trials",
        "2",
        "--meta-steps",
        "3",
        "--probes",
        "2",
        "--out",
        str(tmp_path / "runs"),
    ]
    assert main(["compare-estimators", "mine.py:Tiny", "--estimators", *names, *arguments]) == 0
    assert "left out: T1-T2 (an implicit meta-gradient" in capsys.readouterr().out
    (path,) = (tmp_path / "runs").iterdir()
    found = reports.read(path)
    assert list(found.labels.values()) == ["Reverse", "Halved", "last_two"]
    mean = {name: quantity["mean"] for name, quantity in found.quantities.items()}
    for what in ("error", "bias"):
        assert mean[f"{what}.Halved"] == pytest.approx(0.5, abs=1e-4)
        assert mean[f"{what}.reverse"] < 1e-4 < mean[f"{what}.last_two"]
    assert mean["cosine.Halved"] == pytest.approx(1)
    assert mean["variance.Halved"] == 0, "nothing in it is random"
    page = (path / "report.html").read_text()
    assert 'id="costs"' in page
    assert 'id="loss"' in page
    assert found.spent["Halved"] == pytest.approx(2 * mean["cpu_seconds_per_episode.Halved"] * np.arange(1, 4))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mine.py:Halv", "did you mean 'Halved'"),
        ("mine.py:NUMBER", "its estimators are Halved, Exploding, Needy"),
        ("mine.py:Tiny", "must derive from AbstractEstimator"),
        ("mine.py:Needy", "cannot be made without arguments, name an object"),
        ("nowhere.py:Halved", "there is no file"),
        ("magic", "but one is 'magic'"),
    ],
)
def test_what_is_no_estimator_is_a_sentence(file, name, sentence, capsys):
    assert main(["compare-estimators", "mine.py:Tiny", "--data", "none", "--estimators", "reverse", name]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_two_estimators_with_one_name(file):
    other = file.with_name("other.py")
    other.write_text(FILE)
    with pytest.raises(ConfigError, match="two estimators are called Halved"):
        comparison(file, f"{file}:Halved", f"{other}:Halved")


@pytest.mark.parametrize("where", ["experiment", "estimators"])
def test_a_resumed_comparison_imports_nothing_from_its_folder(file, where, tmp_path):
    folder = run(comparison(file, "reverse", meta_steps=1), RunOptions(out=tmp_path / "runs"))
    (folder.path / "evil.py").write_text("open('imported', 'w')\n" + FILE)
    evil = {"experiment": f"{folder.path}/evil.py:Tiny", "estimators": [f"{folder.path}/evil.py:Halved"]}
    for name in ("config.json", "env.json"):
        content = json.loads((folder.path / name).read_text())
        (content if name == "config.json" else content["asked"])["config"][where] = evil[where]
        del content["checksum"]
        (folder.path / name).write_text(json.dumps(content))
    with pytest.raises(RunFolderError, match="full path and not be in a run folder"):
        resume(folder.path)
    assert not Path("imported").exists()
    assert not any("evil" in name for name in sys.modules)


@pytest.mark.filterwarnings("default")
def test_a_changed_file_and_a_damaged_measurement(file, tmp_path):
    folder = run(comparison(file, f"{file}:Halved", meta_steps=1), RunOptions(out=tmp_path / "runs"))
    file.write_text(FILE + "\n")
    with pytest.warns(UserWarning, match=r"mine\.py has changed since"):
        resume(folder.path)
    path = folder.path / "measured" / "Halved.json"
    path.write_text(path.read_text().replace("0.5", "0.4"))
    rows = folder.metrics_path.read_text().splitlines(keepends=True)
    folder.metrics_path.write_text("".join(rows[:1]))
    with pytest.warns(match="has changed"), pytest.raises(RunFolderError, match=r"Halved\.json is damaged"):
        resume(folder.path)


def test_errors_of_estimates():
    exact = np.array([3.0, 4.0])
    random = np.random.default_rng(0)
    estimates = exact + np.array([0.0, 1.0]) + random.normal(size=(40_000, 2))
    found = quality(estimates, exact)
    assert found["bias"] == pytest.approx(1 / 25, abs=2e-3), "its square, relative to that of the exact gradient"
    assert found["variance"] == pytest.approx(2 / 25, rel=0.02)
    assert 1 / 5 < found["error"] < np.sqrt(3) / 5
    unbiased = [quality(exact + random.normal(size=(4, 2)), exact)["bias"] for _ in range(4000)]
    assert abs(np.mean(unbiased)) < 3 * np.std(unbiased) / np.sqrt(4000), "noise does not look like a bias"
    assert quality(exact[None], exact)["variance"] == 0
    assert quality(estimates, None).keys() == {"variance"}


def test_from_python(file):
    mine = load_from_file(file, "Tiny").studies.__globals__
    learner, tasks, estimators = mine["learner"], mine["tasks"], [Reverse(), Truncated(1), EvolutionStrategies(pairs=2)]
    settings = {"optimizer": optax.sgd(0.05), "meta_steps": 3, "key": jax.random.key(0), "probes": 1}
    found = mp.compare_estimators([*estimators, Contrastive(0.1)], learner, tasks, trials=2, **settings)
    assert [row["name"] for row in found.rows] == ["Reverse", "Truncated", "EvolutionStrategies"]
    first, short, random = found.rows
    assert first["error"] < 1e-4 < short["error"] == pytest.approx(short["bias"], rel=1e-4)
    assert first["variance"] == short["variance"] == 0 < random["variance"]
    alone = mp.meta_train(learner, tasks, Reverse(), optax.sgd(0.05), 3, key=jax.random.key(0), trials=2)
    assert first["loss"] == pytest.approx(np.mean([row["loss"] for row in alone.history])), "it starts as it is given"
    assert {"cpu_seconds_per_episode", "temporary_megabytes", "variance", "cosine", "bias"} <= first.keys()
    assert "Contrastive is left out: Contrastive minimises an energy twice" in repr(found)
    assert repr(found).count("\n") == 4
    with pytest.raises(ValueError, match="two estimators Reverse"):
        mp.compare_estimators([Reverse(), Reverse()], learner, tasks, **settings)
    with pytest.raises(IncompatibleError, match="none of the estimators applies: Contrastive minimises"):
        mp.compare_estimators([Contrastive(0.1)], learner, tasks, **settings)


def test_where_one_estimator_explodes_the_others_go_on(file, tmp_path):
    alone, both = (
        run(comparison(file, *names, meta_steps=20, trials=3), RunOptions(out=tmp_path / str(len(names))))
        for names in (["reverse"], [f"{file}:Exploding", "reverse"])
    )
    result = both.read_json("result.json")
    (said,) = [finding for finding in result["findings"] if finding.startswith("Exploding")]
    found, others = quantities(both), quantities(alone)
    lost = sum(np.isnan(np.asarray(found["loss.Exploding"]["values"], float)))
    assert lost > 0
    assert said.startswith(f"Exploding: in {lost} of 3 trials every episode of the last meta-steps exploded")
    assert found["loss.Exploding"]["n"] == 3 - lost
    assert found["loss.reverse"]["values"] == others["loss.reverse"]["values"]
    assert found["loss.reverse"]["n"] == 3
    rows = [row for row in both.rows() if row["study"] == "Exploding" and not row.get("final")]
    assert len(rows) == 20, "trials that explode do not stop the others"

    mine = load_from_file(file, "Tiny").studies.__globals__
    compared = mp.compare_estimators(
        [mine["Exploding"](), Reverse()], mine["learner"], mine["tasks"], optimizer=optax.sgd(0.05), meta_steps=20,
        key=jax.random.key(0), trials=3, probes=1,
    )  # fmt: skip
    assert "trials every episode of the last meta-steps exploded" in repr(compared)


def test_what_has_exploded_says_not_how_low_a_loss_can_get():
    """Two trials of two studies; one trial of the second has exploded, and the other one ends by chance near zero."""
    losses = {"sound": [[4.0, 4.0], [3.0, 3.0], [2.0, 2.0]], "broken": [[4.0, 4.0], [np.nan, 1.0], [np.nan, 0.0]]}
    rows = [
        {"study": study, "step": step, "loss": loss, "cpu_seconds": 1.0}
        for study, found in losses.items()
        for step, loss in enumerate(found)
    ]
    found = {one.name: one for one in equal_cost(rows, 1, "nats")}
    assert found["loss_to_reach"].mean == pytest.approx(3.0), "half way from 4 to 2"
    assert found["cpu_seconds_to_loss.sound"].mean == pytest.approx(1.0), "two steps of two trials, one second a step"
    assert found["cpu_seconds_to_loss.broken"].n == 1
