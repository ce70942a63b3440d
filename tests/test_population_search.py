"""CMA-ES in the place of a meta-gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaplax as mp
from metaplax.estimators import Reverse
from metaplax.experiments.studies.meta_training import MetaTraining
from metaplax.learners import AbstractLearner, IncompatibleError, freeze
from metaplax.optim import Evosax
from metaplax.runs import FolderRecorder, Interrupted, Interruption, RunFolder

pytest.importorskip("evosax", reason="the extra 'evolution' is not installed")
KEY = jax.random.key(0)


class Pool(AbstractLearner):
    """Two terms with meta-learned coefficients; a step is an integer, so that there is no derivative."""

    coefficients: jax.Array

    def init(self, key):
        return jnp.zeros(2)

    def update(self, state, example, key):
        first, second = self.coefficients
        return jnp.round(100 * (state + first * (example - state) + second * state)) / 100

    def evaluate(self, state, query):
        return jnp.mean((state - query[0]) ** 2), {"level": jnp.mean(state)}

    def scalars(self):
        return {f"theta{i}": value for i, value in enumerate(self.coefficients)}

    def check(self, episode, classes=None): ...


def numbers(key):
    level, noise = jax.random.split(key)
    drawn = 1 + jax.random.normal(level) + 0.3 * jax.random.normal(noise, (8, 2))
    return mp.tasks.Episode(drawn[:6], drawn[6:])


TASKS = mp.tasks.from_function(numbers)
START = Pool(jnp.array([0.0, 0.0]))
SEARCH = Evosax("CMA_ES", population=8, sd=0.1)


def train(steps=30, learner=START, optimizer=SEARCH, **more):
    settings = {"key": KEY, "trials": 2, "meta_batch": 4, **more}
    return mp.meta_train(learner, TASKS, None, optimizer, steps, **settings)


def test_cma_es_learns_where_there_is_no_derivative():
    with pytest.raises(IncompatibleError, match="would be zero"):
        mp.meta_train(START, TASKS, Reverse(), optax.sgd(0.1), 1, key=KEY)
    found = train()
    losses = np.array([row["loss"] for row in found.history])
    assert losses[-8:].mean() < 0.3 * losses[:8].mean()
    for row in found.history:
        assert np.all(row["lowest_loss"] <= row["population_loss"])
    assert found.history[0]["theta0"].tolist() == [0.0, 0.0], "what is recorded is the mean before the step"
    assert found.trial(0).coefficients.shape == (2,)
    # The first loss is that of the learner as it is given, on the episodes that a meta-gradient would see.
    keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(KEY, 0), 0), 4)
    pairs = [jax.random.split(key) for key in keys]
    first = [START.run(TASKS.sample(task_key), learner_key)[0] for task_key, learner_key in pairs]
    assert losses[0, 0] == pytest.approx(np.mean(first), rel=1e-5)


class After(Interruption):
    def __init__(self, steps):
        self.left = steps

    @property
    def requested(self):  # pyright: ignore
        self.left -= 1
        return "SIGTERM" if self.left < 0 else ""


def test_a_search_that_was_stopped_goes_on_bit_for_bit(tmp_path):
    whole = train(6)
    folder = RunFolder(tmp_path)
    with folder.writing():
        with pytest.raises(Interrupted):
            train(6, recorder=FolderRecorder(folder, "one", "a"), interruption=After(4))
        again = train(6, recorder=FolderRecorder(folder, "one", "a"))
    assert np.array_equal(again.learner.coefficients, whole.learner.coefficients)
    for one, other in zip(again.history, whole.history, strict=True):
        assert all(np.array_equal(one[name], np.asarray(other[name], float)) for name in one)


class Fragile(Pool):
    """Explodes where the first coefficient is positive."""

    def evaluate(self, state, query):
        loss, metrics = super().evaluate(state, query)
        return jnp.where(self.coefficients[0] > 0.2, jnp.nan, loss), metrics


def test_members_that_explode_count_as_the_worst():
    found = train(25, Fragile(jnp.array([0.15, 0.0])))
    assert np.all(found.learner.coefficients[:, 0] <= 0.2)
    assert np.all(np.isfinite(found.history[-1]["population_loss"]))
    with pytest.raises(mp.training.DivergedError, match="2 meta-steps in a row"):
        train(5, Fragile(jnp.array([9.0, 0.0])), patience=2)


def test_scales_of_leaves():
    search = Evosax("Sep_CMA_ES", population=200, sd=jnp.array([10.0, 0.1]))
    parameters = jnp.array([3.0, 4.0])
    state = search.init(parameters)
    population, _ = search.ask(state, parameters, KEY)
    assert np.std(population, axis=0) == pytest.approx([10, 0.1], rel=0.2)
    assert np.mean(population, axis=0) == pytest.approx([3, 4], abs=3)
    mean, _ = search.tell(state, population, jnp.where(population[:, 1] < 4, 0.0, jnp.nan), parameters, KEY)
    assert float(mean[1]) < 4


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Evosax("CMA"), "evosax has no strategy 'CMA'"),
        (lambda: Evosax("Open_ES"), "keeps no distribution with a standard deviation"),
        (lambda: Evosax(population=3), "at least 4 members"),
        (lambda: Evosax(sd=0.0), "positive numbers"),
    ],
)
def test_what_makes_no_sense(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_what_does_not_fit_together():
    for given, sentence in (
        (
            (Pool(jnp.zeros(2000)), None, SEARCH),
            "covariance of all pairs .* this learner has 2,000",
        ),
        ((START, Reverse(), SEARCH), "Reverse would never be asked: give estimator=None"),
        ((START, None, optax.sgd(0.1)), "needs a meta-gradient: give an estimator"),
        ((freeze(START), None, SEARCH), "no meta-parameters: every array in it is frozen"),
    ):
        learner, estimator, optimizer = given
        with pytest.raises(ValueError, match=sentence):
            mp.meta_train(learner, TASKS, estimator, optimizer, 1, key=KEY)
        with pytest.raises(ValueError, match=sentence):
            MetaTraining(learner, TASKS, estimator, optimizer, 1).check()
