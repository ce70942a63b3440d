"""Data of one's own: arrays and functions; what does not fit is refused in one sentence."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaplax as mp
from metaplax.learners import ComplexSynapse, Descent, IncompatibleError, PlasticLearner
from metaplax.networks import Dense, Recurrent, Sequential, SquaredError
from metaplax.plasticity import Eligibility, Hebb, Rule, shared
from metaplax.tasks import Episode, Examples, from_arrays, from_function

KEY = jax.random.key(0)
ROWS = 30
X = np.random.default_rng(0).normal(size=(ROWS, 4)).astype(np.float32)
X[:, 0] = np.arange(ROWS)
"""Inputs whose first number is the row."""
CLASSES = np.arange(ROWS) % 3
NUMBERS = X[:, :2].astype(float)
TIMES = np.random.default_rng(1).normal(size=(ROWS, 5, 4))


def rows(part: Examples) -> list[int]:
    return np.asarray(part.x)[:, 0].astype(int).tolist()


@pytest.mark.parametrize(
    ("y", "targets", "classes"),
    [
        (CLASSES, CLASSES, 3),
        (CLASSES.tolist(), CLASSES, 3),
        (CLASSES.astype(np.uint8), CLASSES, 3),
        (jnp.asarray(CLASSES), CLASSES, 3),
        (CLASSES > 0, CLASSES > 0, 2),
        (CLASSES > 9, CLASSES > 9, 2),
        (NUMBERS, NUMBERS, None),
        (NUMBERS.astype(np.float16), NUMBERS.astype(np.float16), None),
        (NUMBERS[:, 0], NUMBERS[:, :1], None),
        (jnp.asarray(NUMBERS[:, 0]), NUMBERS[:, :1], None),
        (CLASSES.astype(float), CLASSES[:, None], None),
    ],
)
@pytest.mark.parametrize("x", [X, X.tolist(), jnp.asarray(X), X.astype(float), np.arange(ROWS)[:, None]])
def test_arrays_of_any_kind(x, y, targets, classes):
    task = from_arrays(x, y, support=10, query=7)
    assert task.classes == classes
    episode = task.sample(KEY)
    for part, size in ((episode.support, 10), (episode.query, 7)):
        assert part.x.shape == (size, *np.shape(x)[1:])
        assert (part.x.dtype, part.y.dtype) == (jnp.float32, jnp.float32 if classes is None else jnp.int32)
        np.testing.assert_allclose(part.x, np.asarray(x)[rows(part)])
        np.testing.assert_allclose(part.y, targets[rows(part)], rtol=1e-6)


def test_examples_of_an_episode_are_different_and_in_random_order():
    task = from_arrays(X, CLASSES, support=20, query=10)
    drawn = [task.sample(key) for key in (KEY, KEY, jax.random.key(1))]
    orders = [rows(episode.support) + rows(episode.query) for episode in drawn]
    assert orders[0] == orders[1] != orders[2]
    compiled = jax.jit(lambda key: task.sample(key))(KEY)
    assert eqx.tree_equal(compiled, drawn[0])
    for order in orders:
        assert order != sorted(order)
        assert sorted(order) == list(range(ROWS))


def test_every_example_gets_its_turn_in_both_sets():
    task = from_arrays(X, CLASSES, support=2, query=2)
    episodes = jax.vmap(task.sample)(jax.random.split(KEY, 400))
    for part in (episodes.support, episodes.query):
        counts = np.bincount(np.asarray(part.x)[:, :, 0].astype(int).ravel(), minlength=ROWS)
        assert counts.min() > 5


@pytest.mark.parametrize(("ways", "classes"), [(1, None), (2, None), (2, 7), (3, None)])
def test_ways_are_classes_that_occur_with_their_labels(ways, classes):
    task = from_arrays(X, CLASSES, support=5, query=5, ways=ways, classes=classes)
    assert task.classes == (classes or 3)
    episodes = jax.vmap(task.sample)(jax.random.split(KEY, 100))
    chosen = set()
    for row_numbers, labels in zip(
        np.concatenate([episodes.support.x[:, :, 0], episodes.query.x[:, :, 0]], 1).astype(int),
        np.concatenate([episodes.support.y, episodes.query.y], 1),
        strict=True,
    ):
        assert len(set(row_numbers.tolist())) == 10
        np.testing.assert_array_equal(labels, CLASSES[row_numbers])
        assert len(np.unique(labels)) <= ways
        chosen |= set(labels.tolist())
    assert chosen == {0, 1, 2}


@pytest.mark.parametrize(
    ("y", "shape"),
    [
        (CLASSES, ()),
        (np.tile(CLASSES[:, None], 5), (5,)),
        (NUMBERS[:, 0], (1,)),
        (NUMBERS, (2,)),
        (np.ones((ROWS, 5, 3)), (5, 3)),
    ],
)
def test_sequences_are_passed_through(y, shape):
    episode = from_arrays(TIMES, y, support=3, query=2, sequences=True).sample(KEY)
    assert (episode.support.x.shape, episode.query.y.shape) == ((3, 5, 4), (2, *shape))


SHAPE = r"y must be classes of shape \(examples,\) or real numbers of shape \(examples, outputs\)"
OF_TIME = r"y must be classes of shape \(examples,\) or \(examples, time\) or real numbers of .* or \(examples, time, "


@pytest.mark.parametrize(
    ("x", "y", "more", "sentence"),
    [
        (X, CLASSES[:-1], {}, r"x has 30 examples, but y has shape \(29,\)"),
        (X, np.asarray(1.0), {}, r"x has 30 examples, but y has shape \(\)"),
        (np.asarray(1.0), NUMBERS, {}, r"x of shape \(\) is empty or not \(examples, ...\)"),
        (X[:, :0], CLASSES, {}, r"x of shape \(30, 0\) is empty or not"),
        (X, NUMBERS[:, :0], {}, r"not float64 of shape \(30, 0\)"),
        (X, CLASSES, {"support": 25}, r"x has 30 examples, too few for 25 \+ 6 different ones per episode"),
        (X[:0], CLASSES[:0], {}, r"x has 0 examples, too few for 4 \+ 6"),
        (X, CLASSES, {"support": 0}, "support must be at least 1, not 0"),
        (X, CLASSES, {"query": -1}, "query must be at least 1, not -1"),
        (np.where(X > 28, np.nan, X), CLASSES, {}, "x of dtype float32 holds something else than finite numbers"),
        (np.where(X > 28, -np.inf, X), CLASSES, {}, "x of dtype float32 holds something else than finite numbers"),
        (X, np.where(NUMBERS > 28, np.nan, NUMBERS), {}, "y of dtype float64 holds something else than finite"),
        (X, np.where(NUMBERS > 28, np.inf, NUMBERS), {}, "y of dtype float64 holds something else than finite"),
        (X.astype(object), CLASSES, {}, "x of dtype object holds something else than finite numbers"),
        (X, CLASSES.astype(object), {}, "y of dtype object holds something else than finite numbers"),
        (X, CLASSES.astype(str), {}, "y of dtype <U.* holds something else than finite numbers"),
        (X + 1j, CLASSES, {}, "x of dtype complex64 holds something else than finite numbers"),
        (X.astype(float) * 1e300, CLASSES, {}, "x holds numbers that are too large for float32"),
        (X, NUMBERS * -1e300, {}, "y holds numbers that are too large for float32"),
        (X, CLASSES + 1, {}, r"must be numbered from 0 to 2, not from 1 to 3: renumber them with numpy.unique\(y, ret"),
        (X, CLASSES - 1, {}, "must be numbered from 0 to 2, not from -1 to 1: renumber them with"),
        (X, CLASSES * 2, {}, r"from 0 to 2, not from 0 to 4: .* or take y.astype\(float\) if they are numbers"),
        (X, CLASSES, {"classes": 2}, "must be numbered from 0 to 1, not from 0 to 2"),
        (X, CLASSES > 0, {"classes": 1}, "must be numbered from 0 to 0, not from False to True"),
        (X, CLASSES, {"classes": 0}, "classes must be at least 1, not 0"),
        (X, CLASSES[:, None], {}, SHAPE + r", not int64 of shape \(30, 1\)"),
        (X, np.eye(3, dtype=int)[CLASSES], {}, SHAPE + r", not int64 of shape \(30, 3\)"),
        (X, np.ones((ROWS, 5, 3)), {}, SHAPE + r", not float64 of shape \(30, 5, 3\)"),
        (X, NUMBERS, {"classes": 3}, "classes need integers y, ways a vector of them, not float64 of"),
        (X, NUMBERS, {"ways": 3}, "classes need integers y, ways a vector of them, not float64 of"),
        (X, CLASSES, {"ways": 0}, "ways must be at least 1, not 0"),
        (X, CLASSES, {"ways": 4}, "10 examples of 4 classes need more than y has: 3 classes, the rarest 4 of which"),
        (X, CLASSES, {"ways": 1, "support": 5}, "11 examples of 1 classes need more than y has: 3 classes"),
        (X[:, 0], CLASSES, {"sequences": True}, r"x of shape \(30,\) is empty or not \(examples, time, ...\)"),
        (TIMES, np.ones((ROWS, 4), int), {"sequences": True}, OF_TIME),
        (TIMES, np.ones((ROWS, 4, 2)), {"sequences": True}, OF_TIME),
        (TIMES, np.ones((ROWS, 5, 2, 1)), {"sequences": True}, OF_TIME),
        (TIMES, np.ones((ROWS, 5), int), {"sequences": True, "ways": 1}, "ways a vector of them, not int64 of"),
        (X, CLASSES, {"modulators": np.ones(29)}, r"for the 30 examples of x, not float64 of shape \(29,\)"),
        (X, CLASSES, {"modulators": np.ones((ROWS, 5, 1))}, r"\(examples, modulators\), for the 30 .* \(30, 5, 1\)"),
        (X, CLASSES, {"modulators": np.full(ROWS, "a")}, "modulators must be real numbers of shape"),
        (X, CLASSES, {"modulators": np.full(ROWS, np.nan)}, "modulators of dtype float64 holds something else than"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(x, y, more, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        from_arrays(x, y, **{"support": 4, "query": 6} | more)
    assert "\n" not in str(caught.value)


def test_renumbering_as_the_sentence_says():
    labels = np.asarray([10, 20, 50])[CLASSES]
    assert from_arrays(X, np.unique(labels, return_inverse=True)[1], support=4, query=4).classes == 3


def train(learner: mp.OnlinePlasticity, tasks: mp.tasks.AbstractTask) -> dict:
    estimator, optimizer = mp.estimators.Reverse(), optax.sgd(1e-3)
    result = mp.meta_train(learner, tasks, estimator, optimizer, 2, key=KEY)
    assert len(result.history) == 2
    assert not any(row["masked"].any() for row in result.history)
    return result.history[-1]


def example_function(key):
    x_key, slope_key = jax.random.split(key)
    x = jax.random.normal(x_key, (9, 4))
    y = (x @ jax.random.normal(slope_key, (4,)) > 0).astype(jnp.int32)
    return x[:6], y[:6], x[6:], y[6:]


class Centres(eqx.Module):
    """A function with an array of its own."""

    centres: jax.Array

    def __call__(self, key):
        x, y, x_query, y_query = example_function(key)
        return Episode(Examples(x + self.centres[y], y), Examples(x_query + self.centres[y_query], y_query))


@pytest.mark.parametrize(
    "task",
    [
        from_arrays(X / ROWS, CLASSES, support=6, query=5),
        from_arrays(X / ROWS, CLASSES, support=6, query=5, ways=2),
        from_function(example_function, 2),
        from_function(Centres(jnp.ones((2, 4))), 2),
    ],
    ids=["arrays", "ways", "function", "module"],
)
def test_classes_of_ones_own_are_meta_trained_on(task):
    last = train(mp.OnlinePlasticity(mp.MLP((4, 5, 3)), mp.rules.gradient()), task)
    assert 0 <= last["accuracy"][0] <= 1


@pytest.mark.parametrize("y", [NUMBERS[:, :1] / ROWS, NUMBERS[:, 0] / ROWS], ids=["columns", "vector"])
def test_numbers_of_ones_own_are_meta_trained_on(y):
    network = mp.MLP((4, 5, 1), readout=SquaredError())
    last = train(mp.OnlinePlasticity(network, mp.rules.gradient()), from_arrays(X / ROWS, y, support=6, query=5))
    assert last["squared_error"][0] >= 0


def test_what_does_not_fit_the_learner_is_refused_as_for_other_tasks():
    learner = mp.OnlinePlasticity(mp.MLP((4, 5, 2)), mp.rules.gradient())
    with pytest.raises(mp.learners.IncompatibleError, match="the task has 3 classes, but the network 2 outputs"):
        train(learner, from_arrays(X, CLASSES, support=6, query=5))


def test_a_function_draws_the_same_as_on_its_own():
    for function in (example_function, Centres(jnp.ones((2, 4)))):
        task, drawn = from_function(function, 2), function(KEY)
        episode = task.sample(KEY)
        assert task.classes == 2
        assert from_function(function).classes is None
        assert isinstance(episode, Episode)
        assert eqx.tree_equal(jax.tree.leaves(episode), jax.tree.leaves(drawn))


def test_arrays_of_a_task_are_leaves():
    tasks = (from_arrays(X, CLASSES, support=6, query=5), from_function(Centres(jnp.ones((2, 4)))))
    found = [[leaf.shape for leaf in jax.tree.leaves(eqx.filter(task, eqx.is_array))] for task in tasks]
    assert found == [[(30, 4), (30,)], [(2, 4)]]


@pytest.mark.parametrize(
    ("sample", "sentence"),
    [
        (lambda key: (X, X), "must return an Episode or four arrays"),
        (lambda key: X, "must return an Episode or four arrays"),
        (lambda key: (X, X, X, {"y": X}), "must return an Episode or four arrays"),
        (lambda key: None, r"must return an Episode or four arrays .*, not PyTreeDef\(None\)"),
        (lambda key: "words", "cannot be traced by JAX: TypeError: "),
        (lambda key: X[np.asarray(key) > 0], "cannot be traced by JAX: TracerArrayConversionError: "),
        (lambda key: jnp.asarray(X)[jax.random.normal(key, (30,)) > 0], "by JAX: NonConcreteBooleanIndexError: "),
        (lambda key: X if jax.random.normal(key) > 0 else X[1:], "by JAX: TracerBoolConversionError: "),
        (lambda: X, "cannot be traced by JAX: TypeError: "),
        (lambda key: {}["absent"], "cannot be traced by JAX: KeyError: 'absent'"),
    ],
)
def test_functions_that_draw_no_episode_are_refused(sample, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        from_function(sample)
    assert "\n" not in str(caught.value)


def test_a_number_of_classes_below_one_is_refused():
    with pytest.raises(ValueError, match="classes must be at least 1, not 0"):
        from_function(example_function, 0)


def test_recorded_rewards_open_the_gate_of_a_trace():
    rewards = np.random.default_rng(2).choice([0.0, 1.0, -0.5], ROWS)
    episode = from_arrays(X / ROWS, CLASSES, support=6, query=4, modulators=rewards).sample(KEY)
    assert episode.query.modulators is None
    order = np.rint(np.asarray(episode.support.x)[:, 0] * ROWS).astype(int)
    assert np.asarray(episode.support.modulators)[:, 0].tolist() == rewards[order].tolist()

    rule = Rule((Eligibility(Hebb(), tau=10.0),), shared([0.1]))
    learner = PlasticLearner(mp.MLP((4, 3)), rule)
    learner.check(episode, 3)
    start = learner.init(KEY)
    weights, trace = np.asarray(start.weights[0], float), np.zeros((3, 4))
    for x, reward in zip(np.asarray(episode.support.x), rewards[order], strict=True):
        post = np.asarray(learner.network.run((jnp.asarray(weights, x.dtype),), jnp.asarray(x)).y[-1])
        trace = trace * np.exp(-1 / 10) + np.outer(post, x)
        weights = weights + 0.1 * reward * trace
    np.testing.assert_allclose(learner.adapt(start, episode.support, KEY).weights[0], weights, rtol=1e-5)


SEQUENCES = Sequential(Recurrent(4, 6), Dense(6, 3))
GATED = Rule((Eligibility(Hebb(), tau=10.0),), shared([0.1]))


@pytest.mark.parametrize(
    ("learner", "shape", "sentence"),
    [
        (PlasticLearner(SEQUENCES, GATED), (ROWS, 5, 1), r"modulators of the support set must have the shape \(3, mod"),
        (PlasticLearner(SEQUENCES, GATED), (ROWS, 2), None),
        (PlasticLearner(SEQUENCES, GATED, every_step=True), (ROWS,), r"the shape \(3, 5, modulators\), not \(3, 1\)"),
        (PlasticLearner(SEQUENCES, GATED, every_step=True), (ROWS, 5, 2), None),
        (ComplexSynapse(SEQUENCES, Descent(optax.sgd(0.1), 2), key=KEY), (ROWS,), "which only plastic learners take"),
    ],
)
def test_signals_fit_the_updates_or_are_refused(learner, shape, sentence):
    task = from_arrays(TIMES, CLASSES, support=3, query=2, sequences=True, modulators=np.ones(shape))
    if sentence is None:
        assert np.isfinite(learner.run(task.sample(KEY), KEY)[0])
        return
    with pytest.raises(IncompatibleError, match=sentence):
        learner.check(task.sample(KEY), 3)
