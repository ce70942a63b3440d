"""The wheel bandit: its rewards, the agents that play it, and their regressions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaplax.experiments.zucchet2022.bandits import (
    History,
    LinFullPost,
    LinGreedy,
    NeuralGreedy,
    NeuralLinear,
    Posterior,
    Uniform,
    Wheel,
    WheelTask,
    play,
    start_game,
)
from metaplax.experiments.zucchet2022.bandits.posterior import update_action
from metaplax.experiments.zucchet2022.bandits.regression_agents import features
from metaplax.experiments.zucchet2022.bandits.wheel import mean_rewards, sample_contexts, uniform_regret
from metaplax.learners import ComplexSynapse, Descent
from metaplax.networks import EquinoxNetwork, PartialSquaredError

KEY = jax.random.key(4)


def test_contexts_fill_the_disk():
    radius = np.linalg.norm(sample_contexts(KEY, 4000), axis=1)
    assert radius.max() <= 1
    # Areas: a quarter of a disk lies within half of its radius.
    np.testing.assert_allclose(np.mean(radius < 0.5), 0.25, atol=0.02)


@pytest.mark.parametrize(
    ("place", "best"), [((0.7, 0.7), 0), ((0.7, -0.7), 1), ((-0.7, 0.7), 2), ((-0.7, -0.7), 3), ((0.1, 0.1), 4)]
)
def test_the_best_action(place, best):
    mean = mean_rewards(jnp.asarray([place]), 0.9)
    assert int(jnp.argmax(mean)) == best
    np.testing.assert_allclose(mean[0, best], 50.0 if best < 4 else 1.2)
    np.testing.assert_allclose(mean[0, (best + 1) % 4], 1.0)


@pytest.mark.parametrize("delta", [0.5, 0.9])
def test_random_actions_regret_what_is_expected(delta):
    mean = mean_rewards(sample_contexts(KEY, 40_000), delta)
    random = jax.random.randint(KEY, (len(mean),), 0, 5)
    regret = jnp.max(mean, axis=1) - mean[jnp.arange(len(mean)), random]
    np.testing.assert_allclose(jnp.mean(regret), uniform_regret(delta), rtol=0.03)


def test_tasks_show_one_reward_per_context():
    task = WheelTask(support=20, query=6, pool=3).resample(KEY)
    seen = [task.sample(jax.random.fold_in(KEY, n)) for n in range(12)]
    for episode in seen:
        assert episode.support.x.shape == (20, 2)
        assert episode.query.y.shape == (6, 5)
        np.testing.assert_array_equal(np.isfinite(episode.support.y).sum(1), 1)
    assert len({float(episode.support.x[0, 0]) for episode in seen}) <= 3


@pytest.mark.parametrize("field", ["support", "query", "pool"])
def test_tasks_without_contexts(field):
    with pytest.raises(ValueError, match=f"{field} must be at least 1"):
        WheelTask(**{field: 0})


def test_unknown_targets_count_for_nothing():
    readout, logits = PartialSquaredError(), jnp.asarray([[1.0, 2.0], [3.0, 4.0]])
    target = jnp.asarray([[jnp.nan, 0.0], [1.0, jnp.nan]])
    np.testing.assert_allclose(readout.loss(logits, target), (4 + 4) / 2)
    slope = jax.grad(lambda logits: readout.loss(logits, target))(logits)
    np.testing.assert_allclose(slope, [[0, 2], [2, 0]])


def test_what_is_known_example_by_example_is_what_is_known_of_all(x64):
    x = jax.random.normal(KEY, (30, 4), jnp.float64)
    y = x @ jnp.arange(4.0) + 0.1 * jax.random.normal(jax.random.key(1), (30,), jnp.float64)
    prior = Posterior.prior(4, 0.25, 6.0, 6.0)
    known = jax.lax.scan(lambda known, example: (known.update(*example), None), prior, (x, y))[0]

    def block(index):
        at = 7 * index + jnp.arange(7)
        rows = jnp.minimum(at, 29)
        return x[rows], y[rows], (at < 30).astype(jnp.float64)

    guess = jnp.asarray([0.1, 0.9, 2.2, 2.9])
    fitted = Posterior.fit(block, 5, guess, 0.25, 6.0, 6.0)
    # As the formulas are usually written (Riquelme et al., 2018).
    precision = x.T @ x + 0.25 * jnp.eye(4)
    mean = jnp.linalg.solve(precision, x.T @ y)
    scale = 6 + 0.5 * (y @ y - mean @ precision @ mean)
    for found in (known, fitted):
        np.testing.assert_allclose(found.mean, mean, rtol=1e-9)
        np.testing.assert_allclose(found.covariance, jnp.linalg.inv(precision), rtol=1e-8)
        np.testing.assert_allclose([found.shape, found.scale], [6 + 15, scale], rtol=1e-9)


def test_regressions_on_features_know_what_they_know_trial_by_trial(x64):
    agent = NeuralLinear(every=20, width=6, steps=2, batch=4)
    keys = jax.random.split(KEY, 3)
    history = History.empty(40)
    # Action 3 is never taken, and action 0 fills more than one block of four.
    for n, action in enumerate([0, 4, 0, 1, 0, 2, 0, 0, 1, 0, 4, 2, 0]):
        context = jax.random.normal(jax.random.fold_in(keys[0], n), (2,))
        history = history.add(context, jnp.int32(action), jnp.asarray(10.0 * action + n))
    state = agent.start(keys[1])
    learned = agent.learn(state, history, keys[2])
    x = jax.vmap(partial(features, learned.network))(history.contexts[:13])
    plays = history.actions[:13], x, history.rewards[:13]
    one_by_one = jax.lax.scan(lambda known, play: (update_action(known, *play), None), state.posteriors, plays)[0]
    for found, expected in zip(jax.tree.leaves(learned.posteriors), jax.tree.leaves(one_by_one), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_samples_have_the_mean_and_variance_of_what_is_known():
    known = Posterior(jnp.asarray([1.0, -2.0]), jnp.diag(jnp.asarray([0.5, 0.1])), jnp.float32(20), jnp.float32(38))
    x = jnp.asarray([2.0, 1.0])
    drawn = jax.vmap(lambda key: known.sample(key, x))(jax.random.split(KEY, 4000))
    np.testing.assert_allclose(jnp.mean(drawn), 0.0, atol=0.1)
    # The mean of an inverse gamma variable is scale / (shape - 1).
    np.testing.assert_allclose(jnp.var(drawn), 38 / 19 * (4 * 0.5 + 0.1), rtol=0.1)


def learner():
    import equinox as eqx

    network = EquinoxNetwork(lambda key: eqx.nn.MLP(2, 5, 8, 2, key=key))
    return ComplexSynapse(
        network, PartialSquaredError(), Descent(optax.adam(1e-2), 2), 0.1, log_space=False, learn_strength=False
    )


AGENTS = {
    "uniform": lambda: Uniform(),
    "lin_greedy": lambda: LinGreedy(),
    "lin_full_post": lambda: LinFullPost(),
    "neural_linear": lambda: NeuralLinear(every=20, width=8, steps=3, batch=16),
    "neural_greedy": lambda: NeuralGreedy(20, learner(), optax.adam(1e-2), steps=3, batch=16),
}


@pytest.mark.parametrize("name", AGENTS)
def test_a_game_in_parts_is_the_same_game(name):
    agent, wheel = AGENTS[name](), Wheel.draw(KEY, 80, 0.6)
    blocks = 40 // agent.every
    whole, regret = play(agent, wheel, start_game(agent, 80, KEY), 2 * blocks, KEY)
    part = jax.jit(lambda game: play(agent, wheel, game, blocks, KEY))
    half, first = part(start_game(agent, 80, KEY))
    assert int(half.history.count) == 40
    rest, second = part(half)
    np.testing.assert_array_equal(whole.history.actions, rest.history.actions)
    np.testing.assert_allclose(regret, first + second, rtol=1e-5)
    np.testing.assert_array_equal(whole.history.actions[:10], [0, 1, 2, 3, 4] * 2)
    assert int(whole.history.count) == 80


def test_an_agent_that_learns_regrets_less():
    wheel = Wheel.draw(KEY, 600, 0.5)
    found = {}
    for name in ("uniform", "lin_full_post"):
        agent = AGENTS[name]()
        found[name] = float(jax.jit(lambda a=agent: play(a, wheel, start_game(a, 600, KEY), 600, KEY)[1])())
    assert found["lin_full_post"] < 0.5 * found["uniform"]


def test_trials_are_drawn_from_what_has_happened():
    history = History.empty(50)
    for n in range(3):
        history = history.add(jnp.full(2, float(n + 1)), jnp.int32(n), jnp.float32(10 * n))
    some = history.minibatch(KEY, 200)
    assert set(np.unique(some.x)) == {1.0, 2.0, 3.0}
    actions = np.nanargmax(some.y, axis=1)
    np.testing.assert_array_equal(actions + 1, some.x[:, 0])
    np.testing.assert_allclose(np.nanmax(some.y, axis=1), 10 * actions)
