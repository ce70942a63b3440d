"""What all studies share: the step of one trial becomes one of all trials, whatever the number of devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import small
from metaplax.experiments.base import Conditions
from metaplax.experiments.studies.meta_training import Untrained
from metaplax.experiments.studies.transfer import TUNING, Transfer
from metaplax.experiments.studies.trials import best_of, compiled, conduct_trials
from metaplax.runs import FolderRecorder, Interrupted, Interruption, NoProgress, RunFolder
from metaplax.tasks import AbstractTask, Episode
from metaplax.training import choose_layout, resample_key

KEY = jax.random.key(3)


class Numbers(AbstractTask):
    """A task of one array, which every trial draws anew."""

    values: jax.Array

    def sample(self, key) -> Episode:
        raise NotImplementedError

    def resample(self, key) -> "Numbers":
        return Numbers(jax.random.permutation(key, self.values))


TASK = Numbers(jnp.arange(10.0))


def one_trial(task, index, state, key):
    return state + task.values[0], {"index": index, "noise": jax.random.uniform(jax.random.fold_in(key, index))}


class Once(Interruption):
    """Asks to stop when it has been asked for the third time."""

    left = 3

    @property
    def requested(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        self.left -= 1
        return "SIGTERM" if self.left == 0 else ""


def conditions(folder: RunFolder, trials: int, interruption: Interruption) -> Conditions:
    recorder = FolderRecorder(folder, "it", "x", 1e9)
    return Conditions(KEY, trials, recorder, lambda name: recorder, NoProgress(), interruption)


def rows(folder: RunFolder) -> list:
    return [{name: row[name] for name in ("step", "index", "noise")} for row in folder.rows()]


@pytest.mark.parametrize("trials", [1, 2, 3])
def test_every_trial_has_its_own_task_key_and_state(trials, tmp_path):
    folder = RunFolder.create(tmp_path, "x", {})
    given = conditions(folder, trials, Interruption())
    with folder.writing():
        end = conduct_trials(given, one_trial, TASK, jnp.zeros(trials), 4)
    keys = given.keys()
    firsts = [float(TASK.resample(resample_key(key)).values[0]) for key in keys]
    np.testing.assert_array_equal(end, 4 * np.asarray(firsts, np.float32))
    for step, row in enumerate(rows(folder)):
        assert row["index"] == [step] * trials
        assert row["noise"] == [float(jax.random.uniform(jax.random.fold_in(key, step))) for key in keys]


def test_what_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    ends, recorded = [], []
    for name, interruption in (("whole", Interruption()), ("stopped", Once())):
        folder = RunFolder.create(tmp_path / name, "x", {})
        with folder.writing():
            if isinstance(interruption, Once):
                with pytest.raises(Interrupted):
                    conduct_trials(conditions(folder, 3, interruption), one_trial, TASK, jnp.zeros(3), 4)
            ends.append(conduct_trials(conditions(folder, 3, Interruption()), one_trial, TASK, jnp.zeros(3), 4))
        recorded.append(rows(folder))
    np.testing.assert_array_equal(*ends)
    assert recorded[0] == recorded[1]


def test_what_is_no_task_is_the_same_in_every_trial():
    keys, start = jax.random.split(KEY, 3), choose_layout(3).pad(jnp.zeros(3))
    step = compiled(lambda values, index, state, key: (state, {"first": values[0]}), TASK.values, keys, start)
    assert step(0, start)[1]["first"].tolist() == [0.0] * 3


def test_the_best_option_is_the_first_with_the_highest_score():
    assert best_of((1.0, 2.0, 3.0), lambda option: -abs(option - 2)) == 2
    assert best_of((1.0, 2.0), lambda option: 0.0) == 1
    assert best_of((7.0,), lambda option: 1 / 0) == 7, "a single one is not scored"


def test_a_transfer_scores_what_the_learner_gives_on_its_own(tmp_path):
    learner, folder = small.learner(), RunFolder.create(tmp_path, "x", {})
    given, task = conditions(folder, 2, Interruption()), small.Blobs()
    study = Transfer("it", Untrained(learner), learner, task, 2)
    study.check()
    with folder.writing():
        study.conduct(given)
    for step in range(2):
        for trial, key in enumerate(given.keys()):
            task_key, learner_key = jax.random.split(jax.random.fold_in(key, step))
            loss, metrics = learner.run(task.sample(task_key), learner_key)
            found = folder.rows()[step]
            np.testing.assert_allclose(found["loss"][trial], loss, rtol=1e-5)
            np.testing.assert_allclose(found["accuracy"][trial], metrics["accuracy"], rtol=1e-5)
    assert folder.rows()[-1]["factor"] == [1.0, 1.0]
    assert study.steps < TUNING, "rates are tuned on other episodes than those that are scored"
