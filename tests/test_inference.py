"""Plasticity rules inferred from recordings: closed forms, gradients, and small recoveries."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metaplax as mp
from metaplax.estimators import Reverse
from metaplax.inference import (
    OF_ACTIVITY,
    OF_CHOICES,
    SimulatedFly,
    as_model,
    choosing_start,
    coefficients_of,
    explained,
    misfit,
    network_rule,
    polynomial,
    pooled_r2,
    recorded,
    replay,
    replaying_activity,
    replaying_choices,
    replaying_recurrent,
    unlearned,
    with_coefficients,
)
from metaplax.learners import PlasticLearner
from metaplax.networks import MLP, BinaryCrossEntropy, RecordedActivity, Sigmoid, SquaredError
from metaplax.optim import full_matrix_adam
from metaplax.plasticity import NeuronOja, Rule, shared
from metaplax.tasks import Episode, Examples, Recordings, Simulations

KEY = jax.random.key(0)
OJA = {"p110": 1.0, "p021": -1.0}
OF = ("pre", "post", "weight")


def trajectory(learner: PlasticLearner, steps: int = 8, seed: int = 0) -> Episode:
    """What a learner does with random inputs from known weights."""
    post, pre = learner.network.shapes[0]
    x_key, w_key = jax.random.split(jax.random.key(seed))
    x, start = jax.random.normal(x_key, (steps, pre)), (jax.random.normal(w_key, (post, pre)),)
    silent = Examples(x, jnp.zeros((steps, post)))
    seen = Examples(x, replay(learner, Episode(silent, silent, start)).activity[-1])
    return Episode(seen, seen, start)


@pytest.fixture(scope="module")
def oja() -> tuple[PlasticLearner, Episode]:
    learner = replaying_activity(3, 2, with_coefficients(polynomial(OF), OJA))
    return learner, trajectory(learner)


def test_a_replay_is_the_loop_over_synapses(oja):
    _, episode = oja
    w, found = np.array(episode.start[0], float), []
    for x in np.asarray(episode.support.x, float):
        y = 1 / (1 + np.exp(-w @ x))
        found.append(y)
        w += np.array([[(x[k] * y[j] - y[j] ** 2 * w[j, k]) / 3 for k in range(3)] for j in range(2)])
    np.testing.assert_allclose(episode.support.y, found, rtol=2e-5)


def test_the_true_rule_has_no_loss_and_no_gradient(oja):
    learner, episode = oja
    found = Reverse().value_and_grad(learner, episode, KEY)
    assert float(found.loss) < 1e-12
    assert float(jnp.abs(found.gradient.rule.coefficients.values).max()) < 1e-6
    assert float(explained(learner, episode)) == pytest.approx(100)
    assert float(explained(with_zero(learner), episode)) == pytest.approx(0, abs=1e-4)


def with_zero(learner: PlasticLearner) -> PlasticLearner:
    return eqx.tree_at(lambda it: it.rule, learner, with_coefficients(learner.rule, {}))


def test_gradients_of_all_27_coefficients_are_central_differences(oja):
    with jax.enable_x64(True):
        learner, episode = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, float) if eqx.is_inexact_array(leaf) else leaf, oja
        )
        episode = jax.tree.map(lambda leaf: leaf[:3] if leaf.shape[0] == 8 else leaf, episode)
        point = 0.1 * jax.random.normal(KEY, (27,), float)
        at = lambda values: eqx.tree_at(lambda it: it.rule.coefficients.values, learner, values).run(episode, KEY)[0]  # noqa: E731
        found = jax.jit(jax.grad(at))(point)
        both = jax.jit(jax.vmap(at))(point[None] + 1e-5 * jnp.concatenate([jnp.eye(27), -jnp.eye(27)]))
        np.testing.assert_allclose(found, (both[:27] - both[27:]) / 2e-5, rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize("learns", [True, False])
def test_the_constant_term_moves_every_weight_by_the_same(learns):
    learner = replaying_activity(3, 2, with_coefficients(polynomial(OF[:2]), {"p00": 1.0}))
    episode = trajectory(learner, 4)
    weights = replay(learner, episode if learns else unlearned(episode)).weights[0]
    np.testing.assert_allclose(
        weights - weights[:1], np.arange(4)[:, None, None] * learns * np.ones((2, 3)) / 3, atol=1e-6
    )


def test_index_map_and_counts():
    terms = {term.name: term for term in polynomial(OF).terms}
    assert len(terms) == 27
    assert (terms["p110"].text, terms["p021"].text, terms["p000"].text) == ("yₗ₋₁ yₗ", "yₗ² Wₗ", "1")
    assert len(polynomial(OF_CHOICES, highest={"weight": 1}).terms) == 18
    assert len(polynomial(OF_CHOICES, highest={"weight": 0}).terms) == 9
    # Without a bias of its output the network has 5 H parameters in place of the 5 H + 1 that are published.
    size = lambda rule: sum(leaf.size for leaf in jax.tree.leaves(rule.terms))  # noqa: E731
    assert size(network_rule(OF_CHOICES, KEY)) == 50
    with pytest.raises(ValueError, match="no term 'p9'"):
        with_coefficients(polynomial(OF), {"p9": 1.0})


def test_pure_decay_is_exact_whatever_is_chosen():
    rule = with_coefficients(polynomial(("modulator", "weight"), 1), {"p01": -0.1})
    start = choosing_start(KEY, 2, 3, sd=1.0)
    learner = replaying_choices(2, 3, rule, start=start)
    support = Examples(jnp.ones((5, 2)), jnp.ones((5, 1)), jnp.asarray([1.0, 1, 0, 1, 1]), jnp.ones((5, 1)))
    weights = replay(learner, Episode(support, support)).weights[0]
    powers = np.array([0, 1, 2, 2, 3])
    np.testing.assert_allclose(weights, start[0][None] * (1 - 0.1 / 2) ** powers[:, None, None], rtol=1e-5)


def test_one_neuron_with_ojas_rule_finds_the_first_principal_component():
    sd = jnp.sqrt(jnp.asarray([3.0, 1.0, 0.5]))
    network = MLP((3, 1), readout=RecordedActivity(None))
    learner = PlasticLearner(network, Rule((NeuronOja(),), shared([0.005])), mp.feedback.Symmetric())
    x = sd[None] * jax.random.normal(KEY, (8000, 3))
    support = Examples(x, jnp.zeros((8000, 1)))
    end = jax.jit(lambda state: learner.adapt(state, support, KEY))(learner.init(KEY)).weights[0][0]
    assert float(jnp.linalg.norm(end)) == pytest.approx(1, abs=0.03)
    assert abs(float(end[0])) > 0.98


def test_readouts_leave_out_what_is_not_known():
    logits, nan = jnp.asarray([[0.3, -1.0], [2.0, 0.1]]), jnp.nan
    target = jnp.asarray([[0.5, nan], [nan, 1.0]])
    p = 1 / (1 + np.exp(-np.asarray(logits)))
    assert float(RecordedActivity().loss(logits, target)) == pytest.approx(
        ((p[0, 0] - 0.5) ** 2 + (p[1, 1] - 1) ** 2) / 2, rel=1e-5
    )
    assert float(BinaryCrossEntropy().loss(logits, jnp.asarray([[1.0, nan], [0.0, nan]]))) == pytest.approx(
        -(np.log(p[0, 0]) + np.log(1 - p[1, 0])) / 2, rel=1e-5
    )
    for readout in (RecordedActivity(), BinaryCrossEntropy()):
        assert np.isfinite(jax.grad(lambda z, it=readout: it.loss(z, target))(logits)).all()
        assert float(readout.error(readout(logits[0]), target[0])[1]) == 0
    slope = jax.vmap(jax.grad(lambda z: Sigmoid()(z)))(logits[0])
    np.testing.assert_allclose(Sigmoid().derivative(Sigmoid()(logits[0])), slope, rtol=1e-5)


def test_padding_adds_log_two_per_entry_to_a_sum_and_nothing_to_our_mean():
    logits, choices = jnp.asarray([[0.7], [-0.2], [0.0], [0.0]]), jnp.asarray([[1.0], [0.0], [jnp.nan], [jnp.nan]])
    padded = BinaryCrossEntropy().loss(logits, jnp.nan_to_num(choices))
    ours = BinaryCrossEntropy().loss(logits, choices)
    assert float(4 * padded) == pytest.approx(float(2 * ours) + 2 * np.log(2), rel=1e-6)


def test_prequential_loss_is_that_before_every_update():
    network = MLP((2, 1), readout=SquaredError())
    learner = PlasticLearner(network, mp.rules.gradient(), mp.feedback.Symmetric(), prequential=True)
    learner = eqx.tree_at(lambda it: it.rule.coefficients.values, learner, jnp.asarray([0.1]))
    x = jax.random.normal(KEY, (6, 2))
    y = x[:, :1] - x[:, 1:]
    w, losses = np.asarray(learner.init(KEY).weights[0])[0].astype(float), []
    for one, target in zip(np.asarray(x, float), np.asarray(y, float)[:, 0], strict=True):
        losses.append(0.5 * (w @ one - target) ** 2)
        w = w - 0.1 * (w @ one - target) * one
    state = learner.adapt(learner.init(KEY), Examples(x, y), KEY)
    assert float(learner.evaluate(state, Examples(x, y))[0]) == pytest.approx(np.mean(losses), rel=1e-5)


def test_every_episode_starts_where_it_says(oja):
    learner, episode = oja
    bank = tuple(jnp.stack([weight, 2 * weight]) for weight in episode.start)
    network, rule = learner.network, learner.rule
    learner = PlasticLearner(network, rule, learner.feedback, start=bank, prequential=True)
    for number, factor in enumerate((1, 2)):
        asked = eqx.tree_at(lambda it: it.start, episode, jnp.int32(number))
        np.testing.assert_array_equal(learner.first_state(asked, KEY).weights[0], factor * episode.start[0])
    assert learner.redrawn(KEY).start[0].shape == (2, 2, 3)
    network = mp.networks.EncoderMLP(mp.networks.NoEncoder((3,)), (2,), SquaredError())
    with pytest.raises(mp.learners.IncompatibleError, match="does not take the start"):
        mp.learners.OnlineGradient(network, KEY).first_state(episode, KEY)


def test_models_train_what_they_fit(oja):
    learner, _ = oja
    given = replaying_activity(3, 2, learner.rule, start=(jnp.ones((2, 3)),))
    sizes = {}
    for model in mp.inference.MODELS:
        parameters = mp.learners.split(as_model(given, model))[0]
        sizes[model] = sum(leaf.size for leaf in jax.tree.leaves(parameters))
    assert sizes == {"full": 33, "rule": 27, "weights": 6, "null": 0}
    assert set(coefficients_of(as_model(given, "weights").rule).values()) == {0.0}
    with pytest.raises(ValueError, match="start of its own"):
        as_model(learner, "full")


def test_full_matrix_adam_divides_by_the_root_of_the_second_moment():
    gradients = np.random.default_rng(0).normal(size=(4, 3)) * (1.0, 0.1, 0.01)
    optimizer = full_matrix_adam(0.5, b1=0.8, b2=0.7, floor=1e-2)
    state, mean, second = optimizer.init(jnp.zeros(3)), np.zeros(3), np.zeros((3, 3))
    for gradient in gradients:
        updates, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state)
        mean, second = 0.8 * mean + 0.2 * gradient, 0.7 * second + 0.3 * np.outer(gradient, gradient)
    values, directions = np.linalg.eigh(second / (1 - 0.7**4))
    root = directions @ np.diag(np.sqrt(values) + 1e-2 * np.sqrt(values[-1])) @ directions.T
    np.testing.assert_allclose(updates, -0.5 * np.linalg.solve(root, mean / (1 - 0.8**4)), rtol=1e-3)
    assert np.array_equal(optimizer.update(jnp.zeros(3), optimizer.init(jnp.zeros(3)))[0], np.zeros(3))
    with pytest.raises(ValueError, match="too large"):
        full_matrix_adam(0.1).init(jnp.zeros(1001))


def test_pooled_r2():
    truth, found = np.random.default_rng(0).normal(size=(2, 5, 3))
    truth[0, 0] = np.nan
    known = ~np.isnan(truth)
    rest = ((truth - found)[known] ** 2).sum() / ((truth[known] - truth[known].mean()) ** 2).sum()
    assert float(pooled_r2(jnp.asarray(truth), jnp.asarray(found))) == pytest.approx(1 - rest, rel=1e-5)


def flies(probabilities, learns: bool, block: int, offers: int, count: int, window: int = 10) -> Episode:
    rule = with_coefficients(polynomial(("pre", "modulator"), 1), {"p11": 1.0} if learns else {})
    teacher = replaying_choices(2, 2, rule, start=choosing_start(KEY, 2, 2))
    fly = SimulatedFly(teacher, block, offers, window, known=True, probabilities=probabilities)
    return jax.jit(jax.vmap(fly))(jax.random.split(KEY, count))


def test_simulated_flies_are_baited_and_expect():
    always = flies(((1.0, 1.0),), False, 20, 120, 2).support
    for x, y, learns, surprise in zip(
        always.x, always.y[..., 0], always.learns, always.modulators[..., 0], strict=True
    ):
        accepted = np.flatnonzero(np.asarray(learns))
        assert len(accepted) == 20
        assert np.isnan(np.asarray(y)[accepted[-1] + 1 :]).all()
        assert not np.isnan(np.asarray(y)[: accepted[-1] + 1]).any()
        expected = np.minimum(np.arange(20), 10) / 10
        np.testing.assert_allclose(np.asarray(surprise)[accepted], 1 - expected, atol=1e-6)
        assert np.asarray(x).std(axis=0).min() > 0.2
    # The first reward of an odour whose probability is 0.2, after k trials without it: 1 - 0.8^k.
    rare = flies(((0.2, 0.2),), False, 60, 240, 60, window=1).support
    odour, learns = np.asarray(rare.x[..., 0] > rare.x[..., 1]), np.asarray(rare.learns) > 0
    surprise = np.asarray(rare.modulators[..., 0])
    waited, rewards = [], []
    for which, learned, more in zip(odour, learns, surprise, strict=True):
        last, before = {}, 0.0
        for trial, at in enumerate(np.flatnonzero(learned)):
            reward = round(more[at] + before)
            before = reward
            # Since the last visit of this odour, or the start, there was one chance per trial.
            waited.append(trial - last.get(which[at], -1))
            rewards.append(reward)
            last[which[at]] = trial
    waited, rewards = np.asarray(waited), np.asarray(rewards)
    for k in (1, 2, 3):
        chosen = rewards[waited == k]
        assert abs(chosen.mean() - (1 - 0.8**k)) < 4 * np.sqrt(0.25 / len(chosen)), k


def test_recordings_say_what_is_missing():
    x, y = np.zeros((2, 4, 3)), np.zeros((2, 4, 2))
    x[0, 1, 0], y[:, :, 1], y[1, 3] = np.nan, np.nan, np.nan
    seen = recorded(x, activity=y)
    assert seen.notes == (
        "1 of 8 steps have an input that is missing, and are skipped",
        "1 of 2 output neurons were never recorded, and are simulated but not scored",
        "2 of 8 steps have no recorded activity, and are not scored",
    )
    assert (seen.learns[0].tolist(), seen.x[0, 1].tolist()) == ([1, 0, 1, 1], [0, 0, 0])
    ragged = recorded([np.ones((4, 3)), np.ones((2, 3))], activity=[np.ones((4, 2)), np.ones((2, 2))])
    assert ragged.learns.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]


def test_rewards_are_relative_to_the_last_ones():
    choices = np.array([[1, 0, 1, 1, np.nan, 1.0]])
    rewards = np.array([[1, 0, 1, np.nan, 1, 0.0]])
    seen = recorded(np.ones((1, 6, 2)), choices=choices, rewards=rewards, window=2)
    assert seen.learns.tolist() == [[1, 0, 1, 0, 0, 1]]
    assert seen.modulators is not None
    assert seen.modulators[0, :, 0].tolist() == [1, 0, 0.5, 0, 0, -1]
    assert seen.notes == (
        "1 of 6 choices are missing: they are not scored, and nothing is learned",
        "1 of 4 rewards are missing: nothing is learned from these steps",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either activity or choices"),
        ({"choices": np.ones((1, 4))}, "choices need the rewards"),
        ({"activity": np.full((1, 4, 1), np.nan)}, "nothing was recorded"),
        ({"activity": np.ones((1, 3, 1))}, "inputs have 1 trajectories of 4 steps"),
        ({"activity": np.full((1, 4, 1), np.inf)}, "must be finite"),
        ({"activity": np.full((1, 4, 1), "a")}, "must be numbers"),
        ({"choices": np.full((1, 4), 2), "rewards": np.ones((1, 4))}, "1 or 0"),
        ({"choices": np.ones((1, 4)), "rewards": np.ones((1, 4)), "window": 0}, "at least one reward"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        recorded(np.ones((1, 4, 2)), **arguments)


def test_bootstrap_and_parts_draw_other_trajectories(oja):
    _, episode = oja
    stack = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf + 1, leaf + 2]), episode)
    again = Recordings(stack, bootstrap=True).resample(KEY)
    assert again.episodes.support.x.shape == stack.support.x.shape
    assert Recordings(stack).resample(KEY).episodes is stack
    part = Examples(jnp.zeros(1), jnp.zeros(1))
    draw = lambda key: Episode(Examples(*jax.random.normal(key, (2, 1))), part)  # noqa: E731
    both = [Simulations(draw, 2, which).resample(KEY) for which in ("fitted", "held out")]
    drawn = [float(one.at(number).support.x[0]) for one in both for number in (0, 1)]
    assert len(set(drawn)) == 4
    assert float(both[0].at(jnp.int32(1)).support.x[0]) == drawn[1]


def test_the_profile_of_the_loss_is_lowest_at_the_rule_that_made_the_data(oja):
    learner, episode = oja
    recordings = Recordings(jax.tree.map(lambda leaf: leaf[None], episode))
    for name in OJA:
        found = mp.inference.profile(learner, recordings, name, (-0.2, -0.1, 0.0, 0.1, 0.2))
        np.testing.assert_allclose(found[2], 0.0, atol=1e-12)
        assert np.all(np.diff(found[:3]) < 0)
        assert np.all(np.diff(found[2:]) > 0)
    with pytest.raises(ValueError, match="the rule has no term 'p9'"):
        mp.inference.profile(learner, recordings, "p9", (0.0,))


def test_four_models_of_unknown_initial_weights_explain_what_they_can(oja):
    learner, _ = oja
    seen = trajectory(learner, steps=20).support
    x, y = (np.asarray(one)[None].repeat(5, axis=0) for one in (seen.x, seen.y))  # from one start, which is unknown
    options = {"activity": y, "meta_steps": 100, "rate": 0.05, "bootstrap": 2, "held_out": 0.2}
    found = mp.inference.compare_models(x, ("full", "weights", "null"), **options)
    explained = {model: one.explained.mean() for model, one in found.items()}
    assert explained["null"] == pytest.approx(0.0, abs=1e-6)
    assert 20 < explained["weights"] < explained["full"] <= 100
    assert found["full"].explained_held_out == pytest.approx(found["full"].explained[:1])
    assert all(value == 0 for value in found["weights"].coefficients.values())
    assert {values.shape for values in found["full"].bootstrap.values()} == {(2,)}
    assert found["null"].bootstrap == {}


def recurrent_oja(inputs, rng) -> tuple[np.ndarray, list[np.ndarray]]:
    """Activity of neurons that reach one another and learn by Oja's rule, in loops; and their initial weights."""
    found = []
    weights = [rng.normal(size=(3, 2)), rng.normal(size=(3, 3))]
    for trajectory in inputs:
        feedforward, among, y, activity = *weights, np.zeros(3), []
        for x in trajectory:
            new = 1 / (1 + np.exp(-(feedforward @ x + among @ y)))
            feedforward = feedforward + (np.outer(new, x) - new[:, None] ** 2 * feedforward) / 2
            among = among + (np.outer(new, y) - new[:, None] ** 2 * among) / 3
            y = new
            activity.append(y)
        found.append(activity)
    return np.asarray(found), weights


def test_recurrent_neurons_are_replayed_and_their_rule_inferred():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(6, 12, 2))
    activity, weights = recurrent_oja(inputs, rng)
    rule = with_coefficients(polynomial(OF_ACTIVITY), {"p110": 1.0, "p021": -1.0})
    start = (*(jnp.asarray(one, jnp.float32) for one in weights), jnp.eye(3))
    teacher = replaying_recurrent(2, 3, rule, start=start)
    task = recorded(inputs, activity=activity).task(slice(None), sequence=True)
    np.testing.assert_allclose(replay(teacher, task.at(0)).activity[-1], activity[0], rtol=1e-5)
    assert float(misfit(teacher, task.at(1))) < 1e-10

    models = mp.inference.compare_models(inputs, activity=activity, recurrent=True, meta_steps=150, rate=0.03)
    scores = {name: float(one.explained_held_out.mean()) for name, one in models.items()}
    assert scores["full"] > max(scores["rule"], scores["weights"]) > scores["null"] == 0
    full = models["full"].learner
    np.testing.assert_array_equal(full.start[-1], np.eye(3))
    about = models["full"].as_json()
    assert len(about["slack"]) == len(about["coefficients"]) == 27
    gap = np.where(np.arange(12)[None, :, None] == 4, np.nan, inputs)
    with pytest.raises(ValueError, match="may be missing at the end of a trajectory only"):
        mp.infer(gap, activity=activity, recurrent=True)
    with pytest.raises(ValueError, match="a recurrent network takes activity, an activation, and no known initial"):
        mp.infer(inputs, activity=activity, recurrent=True, start=weights[0])
