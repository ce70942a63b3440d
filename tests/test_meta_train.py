"""The outer loop: it learns, its episodes depend on nothing but seed and step, and it survives NaN."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaplax as mp
import small
from metaplax.estimators import AbstractEstimator, MetaGradient, Reverse
from metaplax.runs import MemoryRecorder, PlainProgress
from metaplax.training import DivergedError, Rollback, choose_layout
from metaplax.training.rollback import SPACING

KEY = jax.random.key(3)


def train(meta_steps=4, trials=2, estimator=None, learner=None, rate=1e-2, **more):
    learner = small.learner("random", mp.rules.ehebb()) if learner is None else learner
    estimator = Reverse() if estimator is None else estimator
    return mp.meta_train(
        learner, small.Blobs(), estimator, optax.adam(rate), meta_steps, key=KEY, trials=trials, **more
    )  # fmt: skip


def series(result, name):
    return np.stack([row[name] for row in result.history])


def test_it_learns():
    loss = series(train(meta_steps=60, rate=4e-3), "loss")
    assert np.median(loss[-20:]) < 0.9 * np.median(loss[:10])


def test_trials_do_not_know_of_each_other():
    two, three = train(trials=2), train(trials=3)
    np.testing.assert_allclose(series(three, "loss")[:, :2], series(two, "loss"), rtol=1e-5)
    assert np.ptp(series(three, "loss")[0]) > 0
    assert three.learner.rule.coefficients.values.shape == (3, 2)


def test_the_same_seed_gives_the_same_bits():
    for a, b in zip(train().history, train().history, strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_a_step_is_what_its_parts_say():
    learner, task = small.learner("random", mp.rules.ehebb()), small.Blobs()
    key = jax.random.fold_in(jax.random.fold_in(KEY, 0), 0)
    task_key, learner_key = jax.random.split(jax.random.split(key, 1)[0])
    found = Reverse().value_and_grad(learner, task.sample(task_key), learner_key)
    result = train(meta_steps=1, trials=1)
    np.testing.assert_allclose(series(result, "loss")[0, 0], found.loss, rtol=1e-5)
    np.testing.assert_allclose(series(result, "accuracy")[0, 0], found.metrics["accuracy"], rtol=1e-5)
    np.testing.assert_allclose(series(result, "theta0")[0, 0], 1e-3, rtol=1e-6)
    optimizer = optax.adam(1e-2)
    start = learner.rule.coefficients.values
    updates, _ = optimizer.update(found.gradient.rule.coefficients.values, optimizer.init(start))
    np.testing.assert_allclose(result.learner.rule.coefficients.values[0], start + updates, rtol=1e-4)


def test_gradients_of_a_batch_are_averaged():
    one, four = train(meta_steps=1, trials=1), train(meta_steps=1, trials=1, meta_batch=4)
    assert series(one, "loss")[0, 0] != series(four, "loss")[0, 0]
    losses = []
    learner, task = small.learner("random", mp.rules.ehebb()), small.Blobs()
    for key in jax.random.split(jax.random.fold_in(jax.random.fold_in(KEY, 0), 0), 4):
        task_key, learner_key = jax.random.split(key)
        losses.append(learner.run(task.sample(task_key), learner_key)[0])
    np.testing.assert_allclose(series(four, "loss")[0, 0], np.mean(losses), rtol=1e-5)


@pytest.mark.parametrize("trials", [1, 2, 3, 4])
def test_spreading_trials_over_devices_changes_nothing(trials):
    def one(tasks, step, state, key):
        return tasks * state + step, jax.random.uniform(key)

    states, keys = jnp.arange(trials, dtype=jnp.float32), jax.random.split(KEY, trials)
    found = jax.jit(choose_layout(trials).trials(one))(jnp.float32(2), jnp.float32(1), states, keys)
    expected = jax.vmap(one, in_axes=(None, None, 0, 0))(jnp.float32(2), jnp.float32(1), states, keys)
    assert len(jax.local_devices()) == 2
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize(("trials", "episodes"), [(1, 3), (1, 1), (3, 2)])
def test_results_do_not_depend_on_the_layout(trials, episodes):
    layouts = [
        series(train(meta_steps=2, trials=trials, meta_batch=episodes, layout=layout), "theta0")
        for layout in ("auto", "map", "vmap")
    ]
    for other in layouts[1:]:
        np.testing.assert_allclose(other, layouts[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("trials", "episodes", "devices", "each"),
    [
        (1, 3, (1, 2), 2),
        (2, 3, (2, 1), 3),
        (3, 1, (2, 1), 2),
        (3, 16, (1, 2), 24),
        (5, 3, (2, 1), 9),
    ],
)
def test_cores_take_as_few_episodes_each_as_can_be(trials, episodes, devices, each):
    layout = choose_layout(trials, episodes)
    assert (layout.trial_devices, layout.episode_devices) == devices
    assert layout.episodes_each(episodes) == each


class Poisoned(AbstractEstimator):
    """Reverse mode whose gradient is not finite in some episodes."""

    share: float

    def value_and_grad(self, learner, episode, key):
        found = Reverse().value_and_grad(learner, episode, key)
        bad = jax.random.uniform(jax.random.fold_in(key, 99)) < self.share
        gradient = jax.tree.map(lambda g: jnp.where(bad, jnp.nan, g), found.gradient)
        return MetaGradient(found.loss, found.metrics, gradient)


def test_episodes_that_are_not_finite_are_left_out_and_counted():
    result = train(meta_steps=12, trials=2, estimator=Poisoned(0.4))
    masked, theta = series(result, "masked"), series(result, "theta0")
    assert 0 < masked.sum() < masked.size
    assert result.masked == tuple(masked.sum(axis=0))
    assert np.isfinite(result.learner.rule.coefficients.values).all()
    loss = series(result, "loss")
    for step, trial in np.argwhere(masked[:-1] == 1):
        assert np.isnan(loss[step, trial])
        if step == 0 or masked[step - 1, trial] == 0:
            assert theta[step + 1, trial] == theta[step, trial]


def test_a_batch_goes_on_with_its_finite_episodes():
    result = train(meta_steps=5, trials=1, estimator=Poisoned(0.5), meta_batch=4)
    masked = series(result, "masked")
    assert 0 < masked.sum() < 20
    assert np.isfinite(series(result, "loss")[masked < 4]).all()


def test_too_many_in_a_row_end_the_run_with_a_sentence():
    with pytest.raises(
        DivergedError,
        match=r"3 meta-steps in a row up to step 2 had no usable episode .*trial 0, 1.*its gradient is not",
    ):
        train(meta_steps=9, estimator=Poisoned(1.0), patience=3)


def test_explosions_of_the_inner_loop_are_survived():
    learner = small.learner("random", mp.rules.f_bio())
    learner = eqx.tree_at(lambda t: t.rule.coefficients.values, learner, jnp.array([0.1, 0.0, 1e6]))
    with pytest.raises(DivergedError):
        train(meta_steps=9, learner=learner, patience=4)


class Cliff(AbstractEstimator):
    """A loss that falls towards a cliff: beyond it nothing is finite."""

    edge: float

    def value_and_grad(self, learner, episode, key):
        found = Reverse().value_and_grad(learner, episode, key)
        beyond = learner.rule.coefficients.values[0] > self.edge
        noise = jax.random.normal(key)
        there = lambda g: jnp.where(beyond, jnp.nan, -1.0 + noise * jnp.ones_like(g))  # noqa: E731
        return MetaGradient(found.loss, found.metrics, jax.tree.map(there, found.gradient))


def test_who_walks_over_a_cliff_goes_back():
    edge = 0.05
    result = train(meta_steps=120, trials=2, estimator=Cliff(edge), rate=2e-3, patience=6, rollback=Rollback())
    theta, masked = series(result, "theta0"), series(result, "masked")
    assert masked.sum() > 2, "the cliff was reached"
    assert (theta[-1] < edge + 0.002).all()
    fell = np.argwhere((masked[1:] == 1) & (masked[:-1] == 1))
    assert len(fell) > 0
    for step, trial in fell[fell[:, 0] < len(theta) - 2]:
        assert theta[step + 2, trial] < theta[step + 1, trial], "two in a row: back to an earlier step"


def test_anchors_are_gone_back_through_one_by_one():
    state = Rollback(anchors=3).start(jnp.float32(0))[0]
    for step in range(1, 4 * SPACING + 1):
        _, state = state.after(jnp.float32(step), jnp.float32(step + 1), jnp.int32(0))
    assert state.stored.tolist() == [4 * SPACING, 3 * SPACING, 2 * SPACING]
    current = jnp.float32(99)
    seen = []
    for streak in (1, 2, 3, 4, 5):
        current, state = state.after(current, current, jnp.int32(streak))
        seen.append(float(current))
    assert seen == [99, 4 * SPACING, 3 * SPACING, 2 * SPACING, 2 * SPACING]


@pytest.mark.parametrize("name", ["meta_steps", "trials", "meta_batch"])
def test_impossible_numbers(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        train(**{name: 0})


def test_nothing_is_compiled_for_what_cannot_work():
    class Untouchable(MemoryRecorder):
        def resume(self, start):
            raise AssertionError("too late")

    learner = small.learner(sizes=(5, 4, 3))
    with pytest.raises(mp.learners.IncompatibleError, match=r"takes a support set of shape \(examples, 5\)"):
        train(learner=learner, recorder=Untouchable())


def test_plain_progress_says_how_far_it_is(capsys):
    train(meta_steps=3, progress=PlainProgress("bio", seconds=0.0))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "bio: compiling"
    assert lines[1].startswith("bio: 1/3  loss ")
    assert "steps/s" in lines[-1]
    assert "3/3" in lines[-1]
