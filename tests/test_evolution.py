"""Estimators by random perturbations: unbiased, as noisy as theory says, also without derivatives."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import metaplax as mp
import small
from every import DENSE, KEY, Drawn
from metaplax.estimators import RESULTS, EvolutionStrategies, ForwardGradient, PersistentES, Reverse, Truncated
from metaplax.learners import AbstractLearner, ComplexSynapse, IncompatibleError, Newton, split
from metaplax.networks import SquaredError
from metaplax.runs import FolderRecorder, Interrupted, RunFolder
from metaplax.tasks import Episode
from test_run_folder import StopAfter, without_time

SEEDS = 10_000


class Drift(AbstractLearner):
    """A point that is pushed and held back; two leaves of meta-parameters in different scales."""

    push: jax.Array
    back: jax.Array
    order: int = eqx.field(static=True, default=2)
    explodes: float = eqx.field(static=True, default=np.inf)

    def init(self, key):
        return jnp.zeros(2)

    def update(self, state, example, key):
        return state + self.push * example - self.back * state

    def evaluate(self, state, query):
        gap = state - query
        loss = jnp.sum(gap if self.order == 1 else 0.5 * gap**2)
        return jnp.where(jnp.sum(self.push) > self.explodes, jnp.nan, loss), {"first": state[0]}

    def check(self, episode, classes=None): ...


class TwoArms(AbstractLearner):
    """A policy that learns which of two arms pays by REINFORCE; actions are sampled, and its rate is meta-learned."""

    rate: jax.Array

    def init(self, key):
        return jnp.zeros(2)

    def update(self, state, example, key):
        action = jax.random.categorical(key, state)
        return state + self.rate * example[action] * (jax.nn.one_hot(action, 2) - jax.nn.softmax(state))

    def evaluate(self, state, query):
        return -jnp.sum(jax.nn.softmax(state) * query), {}

    def check(self, episode, classes=None): ...


def drift(**more) -> tuple[Drift, Episode]:
    support = jnp.array([[1.0, 0.5], [0.2, 1.0], [0.7, -0.3], [1.0, 1.0]])
    learner = Drift(jnp.array([0.3, 0.5]), jnp.asarray(0.1), **more)
    return learner, Episode(support, jnp.array([2.0, -1.0]))


def estimates(estimator, learner, episode, seeds=SEEDS) -> np.ndarray:
    """The meta-gradient for many seeds, one per row."""
    one = lambda key: ravel_pytree(estimator.value_and_grad(learner, episode, key).gradient)[0]  # noqa: E731
    return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(KEY, seeds)))


def exact(learner, episode, estimator=None) -> np.ndarray:
    return np.asarray(ravel_pytree((estimator or Reverse()).value_and_grad(learner, episode, KEY).gradient)[0])


def assert_mean_is(found: np.ndarray, expected: np.ndarray) -> None:
    """Within three standard errors, which are small enough to tell."""
    error = found.std(axis=0) / np.sqrt(len(found))
    assert np.linalg.norm(error) < 0.1 * np.linalg.norm(expected)
    np.testing.assert_array_less(np.abs(found.mean(axis=0) - expected), 3 * error + 1e-6)


SCALES = {"sd": Drift(jnp.array([1e-3, 3e-3]), jnp.asarray(2e-4))}
UNBIASED = {
    "ES": EvolutionStrategies(pairs=1, sd=1e-3),
    "ES, scales": EvolutionStrategies(pairs=2, **SCALES),
    "ES, fresh keys": EvolutionStrategies(pairs=2, sd=1e-3, fresh_keys=True),
    "PES": PersistentES(2, pairs=1, sd=1e-3),
    "PES, scales and a short window": PersistentES(3, pairs=2, **SCALES),
    "PES, one noise": PersistentES(1, reuse_noise=True, pairs=1, sd=1e-3),
    "forward gradient": ForwardGradient(1),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", UNBIASED)
def test_the_mean_over_seeds_is_the_gradient(name):
    learner, episode = drift()
    assert_mean_is(estimates(UNBIASED[name], learner, episode), exact(learner, episode))


@pytest.mark.usefixtures("x64")
def test_the_variance_is_that_of_the_theory():
    """On a loss that is linear: ``|g|^2 + g_i^2`` in units of the scales, ``|g|^2 - g_i^2`` for signs."""
    learner, episode = drift(order=1)
    learner = mp.learners.freeze(learner, lambda it: it.back)
    g = exact(learner, episode)
    assert ForwardGradient(3).value_and_grad(learner, episode, KEY).loss == learner.run(episode, KEY)[0]
    sd = np.array([1e-3, 3e-3])
    scaled = eqx.tree_at(lambda it: it.push, split(learner)[0], jnp.asarray(sd))
    with pytest.raises(IncompatibleError, match="make them of split"):
        EvolutionStrategies(**SCALES).check(learner, jax.eval_shape(Fixed().sample, KEY))
    estimators = {"ES": EvolutionStrategies(pairs=3, sd=scaled), "signs": ForwardGradient(3)}
    found = {name: estimates(it, learner, episode) for name, it in estimators.items()}
    theory = {"ES": (np.sum((g * sd) ** 2) + (g * sd) ** 2) / sd**2 / 3, "signs": (np.sum(g**2) - g**2) / 3}
    for name, variance in theory.items():
        np.testing.assert_allclose(found[name].var(axis=0), variance, rtol=0.1, err_msg=name)


@pytest.mark.usefixtures("x64")
def test_persistent_es_is_right_where_a_truncated_gradient_is_half_of_it():
    learner, episode = drift()
    learner = eqx.tree_at(lambda it: it.back, learner, jnp.asarray(0.0))
    learner, episode = mp.learners.freeze(learner, lambda it: it.back), Episode(jnp.ones((4, 2)), episode.query)
    whole = exact(learner, episode)
    np.testing.assert_allclose(exact(learner, episode, Truncated(2)), whole / 2, rtol=1e-12)
    persistent = estimates(PersistentES(2, pairs=2, sd=1e-3), learner, episode)
    assert_mean_is(persistent, whole)
    unrolled = estimates(EvolutionStrategies(pairs=2, sd=1e-3), learner, episode)
    error = np.sqrt((persistent.var(axis=0) + unrolled.var(axis=0)) / SEEDS)
    np.testing.assert_array_less(np.abs(persistent.mean(axis=0) - unrolled.mean(axis=0)), 3 * error)


@pytest.mark.usefixtures("x64")
def test_every_window_may_count():
    learner, episode = drift()
    after = lambda steps: Episode(episode.support[:steps], episode.query)  # noqa: E731
    expected = (exact(learner, after(2)) + exact(learner, after(4))) / 2
    assert_mean_is(estimates(PersistentES(2, every_window=True, pairs=2, sd=1e-3), learner, episode), expected)


@pytest.mark.usefixtures("x64")
def test_where_actions_are_sampled_only_losses_tell_the_gradient():
    """Backpropagation sees what an action has done, but not that other actions would have been taken."""
    learner = TwoArms(jnp.asarray(0.5))
    episode = Episode(jnp.tile(jnp.array([1.0, 0.6]), (8, 1)), jnp.array([1.0, 0.6]))
    keys = jax.random.split(jax.random.key(9), 20 * SEEDS)
    loss = lambda rate: jax.vmap(lambda key: TwoArms(rate).run(episode, key)[0])(keys)  # noqa: E731
    slopes = np.asarray(jax.jit(lambda: (loss(learner.rate + 0.1) - loss(learner.rate - 0.1)) / 0.2)())
    slope, error = slopes.mean(), slopes.std() / np.sqrt(len(keys))
    reverse = estimates(Reverse(), learner, episode)
    assert abs(reverse.mean() - slope) > 0.3 * abs(slope) > 10 * error
    for estimator in (EvolutionStrategies(pairs=16, sd=0.1, fresh_keys=True), PersistentES(2, pairs=16, sd=0.1)):
        found = estimates(estimator, learner, episode)
        both = np.hypot(found.std() / np.sqrt(SEEDS), error)
        assert abs(found.mean() - slope) < 4 * both, type(estimator).__name__
        assert abs(reverse.mean() - slope) > 4 * both, type(estimator).__name__


@pytest.mark.usefixtures("x64")
def test_ranks_do_not_see_how_large_losses_are():
    learner, episode = drift()
    ranks = EvolutionStrategies(pairs=5, sd=1e-3, ranks=True)
    found = exact(learner, episode, ranks)
    noise = ranks.noise(jax.random.fold_in(KEY, 2**31), split(learner)[0])
    losses = ranks.in_pairs(learner, noise, lambda it, key, _: it.run(episode, key)[0], ranks.keys(KEY), None)
    order = np.argsort(np.argsort(np.ravel(losses))).reshape(5, 2) / 9 - 0.5
    shaped = np.mean([(a - b) / 2 * np.asarray(n) for (a, b), n in zip(order, noise.push, strict=True)], axis=0) / 1e-3
    np.testing.assert_allclose(found[:2], shaped, rtol=1e-10)
    grown = ranks.gradient(learner, noise, jnp.exp(losses), jnp.ones(5, bool))
    np.testing.assert_array_equal(ravel_pytree(grown)[0], found)


def test_pairs_that_explode_are_left_out_and_all_of_them_are_said_and_counted():
    learner, episode = drift(explodes=0.8)
    some, same = EvolutionStrategies(pairs=6, sd=0.1), EvolutionStrategies(pairs=6, sd=0.1)
    found = some.value_and_grad(learner, episode, KEY)
    assert found.result == RESULTS.all_exploded, "either side of the threshold, where the learner is"
    assert "every pair" in RESULTS[found.result]
    assert not np.isfinite(found.loss)
    learner, _ = drift(explodes=0.9)
    found = same.value_and_grad(learner, episode, KEY)
    assert found.result == RESULTS.successful
    sums = np.sum(same.noise(jax.random.fold_in(KEY, 2**31), split(learner)[0]).push, axis=1)
    kept = np.abs(sums) * 0.1 < 0.1
    assert 0 < kept.sum() < 6
    calm = drift()[0]
    noise = same.noise(jax.random.fold_in(KEY, 2**31), split(calm)[0])
    losses = same.in_pairs(calm, noise, lambda it, key, _: it.run(episode, key)[0], same.keys(KEY), None)
    np.testing.assert_allclose(found.loss, np.mean(losses[kept]), rtol=1e-5)
    np.testing.assert_allclose(
        found.gradient.push, same.gradient(calm, noise, losses, jnp.asarray(kept)).push, rtol=1e-4
    )


class Fixed(mp.tasks.AbstractTask):
    """The episode of ``drift``."""

    def sample(self, key):
        return drift()[1]


@pytest.mark.parametrize("estimator", [EvolutionStrategies(pairs=2), PersistentES(2, pairs=2)])
def test_meta_training_counts_what_has_exploded(estimator):
    learner = drift(explodes=-np.inf)[0]
    arguments = (learner, Fixed(), estimator, optax.sgd(1e-2), 3)
    recorder = mp.runs.MemoryRecorder()
    with pytest.raises(mp.training.DivergedError, match="the outer loss is not finite"):
        mp.meta_train(*arguments, key=KEY, meta_batch=2, patience=2, recorder=recorder)
    assert [row["all_exploded"].tolist() for row in recorder.rows()] == [[2], [2]]
    trained = mp.meta_train(drift()[0], *arguments[1:], key=KEY)
    assert [row["all_exploded"].tolist() for row in trained.history] == [[0]] * 3


def test_a_persistent_run_that_is_resumed_gives_the_same_bits(tmp_path):
    def train(folder, **more):
        learner = small.learner("random", mp.rules.f_bio())
        with folder.writing():
            recorder = FolderRecorder(folder, "f_bio", eqx.tree_pformat(learner), seconds=0.0)
            arguments = (learner, small.Blobs(), PersistentES(8, pairs=2, sd=1e-3), optax.adam(1e-2), 7)
            options = {"key": KEY, "trials": 3, "meta_batch": 2, "recorder": recorder}
            return mp.meta_train(*arguments, **options, **more)

    unbroken, broken = (RunFolder.create(tmp_path, name, {}) for name in ("unbroken", "broken"))
    expected = train(unbroken)
    with pytest.raises(Interrupted, match="after meta-step 2"):
        train(broken, interruption=StopAfter(3))
    found = train(broken)
    assert without_time(broken) == without_time(unbroken)
    np.testing.assert_array_equal(found.learner.rule.coefficients.values, expected.learner.rule.coefficients.values)


def test_an_inner_loop_goes_on_from_meta_step_to_meta_step():
    """With meta-parameters that stay the same, the losses after windows are those of the whole inner loop."""
    learner, episode = drift()
    trained = mp.meta_train(learner, Fixed(), PersistentES(3, pairs=1, sd=1e-6), optax.sgd(0.0), 5, key=KEY)
    whole = [learner.run(Episode(episode.support[:steps], episode.query), KEY)[0] for steps in (3, 4, 3, 4, 3)]
    np.testing.assert_allclose([row["loss"][0] for row in trained.history], whole, rtol=1e-4)


class LastStep(Reverse):
    """Carries the meta-parameters of the last meta-step, and how far they have moved since."""

    def start(self, learner, episode):
        return split(learner)[0], jnp.zeros(())

    def step(self, learner, sample, key, carried):
        found, now = super().step(learner, sample, key, None)[0], split(learner)[0]
        moved = optax.tree.norm(optax.tree.sub(now, carried[0]))
        return eqx.tree_at(lambda it: it.metrics, found, {"moved": moved}), (now, moved)


def test_an_estimator_may_carry_meta_parameters():
    """Also of a learner with plain numbers in it, which are arguments of compiled programs."""
    learner = small.learner("random", mp.rules.f_bio())
    assert any(type(leaf) is float for leaf in jax.tree.leaves(learner))
    trained = mp.meta_train(learner, small.Blobs(), LastStep(), optax.sgd(1e-3), 3, key=KEY, trials=2, meta_batch=2)
    moved = [row["moved"] for row in trained.history]
    assert (moved[0] == 0).all()
    assert (moved[1] > 0).all()


def test_keys_of_another_kind_are_refused_in_a_sentence():
    other = jax.random.key(0, impl="rbg")
    with pytest.raises(ValueError, match="PersistentES takes keys of JAX's default kind, not rbg"):
        mp.meta_train(drift()[0], Fixed(), PersistentES(3, pairs=1), optax.sgd(0.0), 2, key=other)


def test_what_cannot_be_cut_into_windows_is_refused():
    learner = ComplexSynapse(DENSE, SquaredError(), Newton(), 0.3)
    with pytest.raises(IncompatibleError, match="is not one loop of so many steps: use EvolutionStrategies"):
        PersistentES(2).check(learner, jax.eval_shape(Drawn().sample, KEY))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: EvolutionStrategies(pairs=0), "at least 1 pair"),
        (lambda: EvolutionStrategies(sd=0.0), "positive numbers"),
        (lambda: EvolutionStrategies(sd=np.array([1.0, np.nan])), "positive numbers"),
        (lambda: PersistentES(0), "a window has 1, 2, ... inner steps, not 0"),
        (lambda: ForwardGradient(0), "in 1, 2, ... directions, not 0"),
    ],
)
def test_impossible_numbers(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_a_loss_without_meta_parameters_is_refused():
    learner = eqx.tree_at(lambda it: it.push, drift()[0], jnp.zeros(2))
    frozen = mp.learners.freeze(learner, lambda it: (it.push, it.back))
    with pytest.raises(IncompatibleError, match="no meta-parameters"):
        EvolutionStrategies().check(frozen)
