"""What is frozen stays, what is given is where meta-training starts, results run: for every kind of learner."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaplax as mp
from every import KEY, LEARNERS
from metaplax.learners import freeze, join, split, trainable, with_trainable

EVERY = pytest.mark.parametrize("name", LEARNERS)


def leaves(tree):
    found = jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_inexact_array))
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in found}


def train(learner, task, meta_steps=2, rate=1e-3, **more):
    optimizer = optax.adam(rate) if rate else optax.sgd(0.0)
    return mp.meta_train(learner, task, mp.estimators.Reverse(), optimizer, meta_steps, key=KEY, **more)


@EVERY
def test_frozen_is_bit_equal_also_where_trials_start_anew(name):
    case = LEARNERS[name]
    learner = case.make()
    names = [path for path, stays in jax.tree_util.tree_leaves_with_path(trainable(learner)) if stays]
    # Every other trainable array, whatever part of whatever part it is.
    chosen = {jax.tree_util.keystr(path) for path in names[::2]}
    pick = lambda tree: [  # noqa: E731
        leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree) if jax.tree_util.keystr(path) in chosen
    ]
    frozen = freeze(learner, pick)
    before = leaves(frozen)
    if len(names) == len(chosen):
        with pytest.raises(mp.learners.IncompatibleError, match="every array in it is frozen"):
            train(frozen, case.task)
        return
    result = train(frozen, case.task, trials=2, resample=True)
    for trial in range(2):
        after = leaves(result.trial(trial))
        for path in chosen:
            np.testing.assert_array_equal(after[path], before[path])
        assert any(not np.array_equal(after[path], before[path]) for path in before if path not in chosen)


@EVERY
def test_meta_training_starts_from_the_learner_as_it_is_given(name):
    case = LEARNERS[name]
    given = jax.tree.map(
        lambda leaf: leaf * 1.25 if eqx.is_inexact_array(leaf) else leaf, case.make()
    )  # not what any key draws
    result = train(given, case.task, meta_steps=1, rate=0.0)
    key = jax.random.split(jax.random.fold_in(jax.random.fold_in(KEY, 0), 0), 1)[0]
    task_key, learner_key = jax.random.split(key)
    loss, _ = given.run(case.task.sample(task_key), learner_key)
    np.testing.assert_allclose(result.history[0]["loss"][0], loss, rtol=1e-5)
    for path, value in leaves(result.trial(0)).items():
        np.testing.assert_array_equal(value, leaves(given)[path])


@EVERY
def test_results_run_and_fresh_starts_are_asked_for(name):
    case = LEARNERS[name]
    result = train(case.make(), case.task, trials=2, resample=True)
    episode = case.task.sample(KEY)
    losses = [float(result.trial(k).run(episode, KEY)[0]) for k in (0, 1)] + [float(result.mean().run(episode, KEY)[0])]
    assert np.isfinite(losses).all()
    starts = [leaves(case.make().resample(jax.random.key(k))) for k in (1, 2)]
    if name not in ("OnlinePlasticity",):
        assert any(not np.array_equal(starts[0][path], starts[1][path]) for path in starts[0])
        assert losses[0] != losses[1]
    with pytest.raises(IndexError, match="there is no trial 2: there are 2"):
        result.trial(2)
    text = repr(result)
    assert len(text) < 200
    assert "2 meta-steps, 2 trials, loss " in text


def test_a_mask_says_what_is_trained():
    learner = LEARNERS["ComplexSynapse"].make()
    mask = eqx.tree_at(lambda tree: tree.omega, jax.tree.map(lambda _: False, learner), True)
    result = mp.meta_train(
        learner, LEARNERS["ComplexSynapse"].task, mp.estimators.Reverse(), optax.adam(1e-2), 2, key=KEY, trainable=mask
    )
    before, after = leaves(learner), leaves(result.trial(0))
    assert {path for path in before if not np.array_equal(before[path], after[path])} == {
        path for path in before if path.startswith(".omega")
    }
    assert len(with_trainable(learner, mask).frozen) == 4, "only arrays are listed"


def test_numpy_arrays_are_trained_like_any_others():
    learner = LEARNERS["OnlinePlasticity"].make()
    given = eqx.tree_at(lambda tree: tree.rule.coefficients.values, learner, np.array([1e-3, 0, 0], np.float32))
    assert jax.tree.leaves(split(given)[0]) != []
    result = train(given, LEARNERS["OnlinePlasticity"].task)
    assert not np.array_equal(result.trial(0).rule.coefficients.values, given.rule.coefficients.values)


def test_a_part_of_a_learner_cannot_be_frozen_on_its_own():
    learner = LEARNERS["OnlinePlasticity"].make()
    with pytest.raises(TypeError, match=r"not a Rule on its own: freeze\(learner, lambda learner"):
        freeze(learner.rule)


def test_parameters_and_constants_make_the_learner_again():
    learner = freeze(LEARNERS["MetaRegularised"].make(), lambda tree: tree.decay.layers[0])
    parameters, constants = split(learner)
    assert parameters.start.layers[0].weight is None, "initial weights are not trained unless that is asked for"
    assert parameters.decay.layers[0].weight is None
    jax.tree.map(np.testing.assert_array_equal, leaves(join(parameters, constants)), leaves(learner))


def test_the_history_keeps_no_device_memory():
    before = len(jax.live_arrays())
    result = train(LEARNERS["OnlinePlasticity"].make(), LEARNERS["OnlinePlasticity"].task, meta_steps=20)
    assert all(isinstance(value, np.ndarray) and value.base is None for row in result.history for value in row.values())
    assert len(jax.live_arrays()) - before < 20


def test_only_a_rollback_costs_copies_of_the_parameters():
    learner, keys = LEARNERS["ComplexSynapse"].make(), jax.random.split(KEY, 1)
    size = lambda state: sum(leaf.size for leaf in jax.tree.leaves(state))  # noqa: E731
    optimizer = optax.adam(1e-3)
    plain = size(mp.training.initial_state(learner, optimizer, keys))
    current = size(split(learner)[0]) + size(optimizer.init(split(learner)[0]))
    assert plain < current + 10
    watched = mp.training.Rollback(anchors=4, margin=0.5, ceiling=3.0)
    assert size(mp.training.initial_state(learner, optimizer, keys, rollback=watched)) > 5 * current
    assert jnp.ndim(plain) == 0
