"""Several meta-trainings in one launch: those that differ in their numbers only, with results as of each alone."""

import numpy as np
import pytest
from jax import monitoring

import metaplax as mp
from metaplax.experiments import RunOptions, resume, run
from metaplax.experiments.from_file import load_from_file
from metaplax.runs import Interrupted, NoProgress
from test_run_folder import StopAfter, without_time

FILE = """
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

import metaplax as mp
import small
from metaplax.estimators import Reverse
from metaplax.experiments import AbstractExperiment, MetaTraining
from metaplax.plasticity import L1, L2

ARMS = {"small": (L1(0.1), 1e-2), "large": (L1(1.0), 1e-2), "fast": (L1(0.1), 2e-2), "other": (L2(0.1), 1e-2)}

class Exploding(mp.estimators.Reverse):
    '''A meta-gradient that is not finite if the penalty is large.'''

    def value_and_grad(self, learner, episode, key):
        found = super().value_and_grad(learner, episode, key)
        lost = jnp.where(learner.penalty.factor > 0.5, jnp.nan, 1.0)
        return eqx.tree_at(lambda it: it.gradient, found, jax.tree.map(lambda leaf: leaf * lost, found.gradient))


@dataclass(frozen=True)
class Penalties(AbstractExperiment):
    '''One learner under several penalties and outer rates.'''

    data: str = "none"
    trials: int = 3
    meta_steps: int = 5
    explodes: bool = False

    def studies(self, data, load):
        estimator = Exploding() if self.explodes else Reverse()
        return {
            arm: MetaTraining(
                mp.OnlinePlasticity(mp.MLP(small.SIZES), mp.rules.ehebb(), mp.feedback.RandomFixed(), penalty=penalty),
                small.Blobs(), estimator, optax.adam(rate), self.meta_steps, meta_batch=2,
            )
            for arm, (penalty, rate) in ARMS.items()
        }  # fmt: skip
"""
ALIKE = ("small", "large", "fast")


@pytest.fixture(scope="module")
def penalties(tmp_path_factory):
    """The experiment, from a file, as a run that is resumed needs it."""
    file = tmp_path_factory.mktemp("penalties") / "mine.py"
    file.write_text(FILE)
    return load_from_file(file, "Penalties")


@pytest.fixture(scope="module")
def whole(penalties, tmp_path_factory):
    """A run in one launch that nothing has stopped, and the titles of what was shown."""
    titles: list[str] = []
    show = lambda title: titles.append(title) or NoProgress()  # noqa: E731
    return run(penalties(), RunOptions(out=tmp_path_factory.mktemp("whole"), together="yes"), show), titles


@pytest.fixture
def compiled():
    """How many programs were compiled."""
    names: list[str] = []

    def hear(name: str, *_: float, **__: object) -> None:
        names.append(name.rpartition("/")[2])

    monitoring.register_event_duration_secs_listener(hear)
    yield lambda: names.count("backend_compile_duration")
    monitoring.unregister_event_duration_listener(hear)


def by_study(folder) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for row in without_time(folder):
        found.setdefault(row["study"], []).append(row)
    return found


def test_arms_that_differ_in_numbers_only_share_a_launch(tmp_path, penalties, whole):
    together, titles = whole
    expected = by_study(run(penalties(), RunOptions(out=tmp_path, together="no")))
    found = by_study(together)
    assert found.keys() == expected.keys()
    for study, rows in expected.items():
        assert [row["step"] for row in found[study]] == [row["step"] for row in rows]
        for row, other in zip(rows, found[study], strict=True):
            assert other.keys() == row.keys()
            for name in row.keys() - {"study"}:
                np.testing.assert_allclose(other[name], row[name], rtol=1e-5, atol=1e-7, err_msg=f"{study} {name}")
    assert expected["small"][-1]["theta0"] != expected["large"][-1]["theta0"], "numbers of their own are used"
    assert "small, large, fast" in titles, "and the other penalty is another program"


def test_a_launch_that_is_broken_off_and_resumed_gives_the_same_bits(tmp_path, penalties, whole):
    with pytest.raises(Interrupted, match="after meta-step 2") as caught:
        run(penalties(), RunOptions(out=tmp_path / "broken", together="yes"), interruption=StopAfter(3))
    assert "studies 'small', 'large', 'fast'; go on with: metaplax resume" in caught.value.__notes__[0]
    (path,) = (tmp_path / "broken").iterdir()
    assert by_study(resume(path, together="yes")) == by_study(whole[0])


def test_where_checkpoints_are_not_of_the_same_step_each_goes_on_alone(tmp_path, penalties, whole):
    with pytest.raises(Interrupted):
        run(penalties(), RunOptions(out=tmp_path / "broken", together="yes"), interruption=StopAfter(4))
    (path,) = (tmp_path / "broken").iterdir()
    newest = max((path / "checkpoints" / "large").iterdir(), key=lambda entry: entry.stat().st_mtime)
    for entry in [newest] if newest.is_file() else sorted(newest.rglob("*"), reverse=True):
        entry.unlink() if entry.is_file() else entry.rmdir()
    found, expected = by_study(resume(path, together="yes")), by_study(whole[0])
    for study, rows in expected.items():
        for row, other in zip(rows, found[study], strict=True):
            np.testing.assert_allclose(other["loss"], row["loss"], rtol=1e-5) if "loss" in row else None


def test_one_that_diverges_is_named_and_the_others_keep_their_records(tmp_path, penalties):
    experiment = penalties(explodes=True, meta_steps=12)
    with pytest.raises(mp.training.DivergedError, match="10 meta-steps in a row") as caught:
        run(experiment, RunOptions(out=tmp_path / "runs", together="yes"))
    assert "studies 'small', 'large', 'fast'" in caught.value.__notes__[0]
    (path,) = (tmp_path / "runs").iterdir()
    rows = by_study(mp.runs.RunFolder.open(path))
    assert [len(rows[arm]) for arm in ALIKE] == [10, 10, 10]
    assert np.isfinite([row["loss"] for row in rows["small"]]).all()
    assert [row["masked"] for row in rows["large"]] == [[2] * 3] * 10


def test_a_second_launch_compiles_nothing(tmp_path, penalties, compiled):
    run(penalties(trials=2), RunOptions(out=tmp_path / "first", together="yes"))
    before = compiled()
    run(penalties(trials=2, seed=2), RunOptions(out=tmp_path / "second", together="yes"))
    assert compiled() == before
