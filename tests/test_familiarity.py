"""Continual familiarity: streams, fast synapses beside slow ones, answers scored along the way, closed forms."""

from dataclasses import replace
from math import log

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metaplax as mp
from metaplax.analysis import AddressedMemory, anti_hebbian
from metaplax.estimators import ForwardMode, Reverse, Reversible
from metaplax.experiments.base import ConfigError
from metaplax.experiments.tyulmankov2022.closed_form import ClosedForm
from metaplax.experiments.tyulmankov2022.familiarity_streams import Curriculum, OneInterval, WhichTerms
from metaplax.experiments.tyulmankov2022.model import optimizer, strengths
from metaplax.learners import AddressedFamiliarity, HebbFF, PlasticLearner, split
from metaplax.networks import BinaryCrossEntropy, Dense, Full, Instant, Layer, Sequential, Summed, Tanh
from metaplax.plasticity import Hebb, Scaled, Signals
from metaplax.tasks import Examples, Familiarity

KEY = jax.random.key(4)
INPUTS, HIDDEN, LENGTH = 6, 4, 12
TASK = Familiarity(INPUTS, 2, LENGTH)
NOTHING = mp.data.ImageSet("none", np.zeros((1, 1, 1), np.uint8), np.zeros(1, int), ["nothing"])


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def by_hand(learner, stream):
    """Answers along a stream, the hidden activity, and the fast weights after it, in a loop."""
    (slow, _, out), told = learner.start, {name: float(value) for name, value in strengths(learner).items()}
    slow, out, fast = np.asarray(slow), np.asarray(out), np.zeros((HIDDEN, INPUTS))
    answers, hidden = [], []
    for x in np.asarray(stream.x):
        hidden.append(sigmoid((slow[:, :-1] + fast) @ x + slow[:, -1]))
        answers.append(out[0, :-1] @ hidden[-1] + out[0, -1])
        fast = told["lambda"] * fast + told["eta"] * np.outer(hidden[-1], x)
    return np.asarray(answers), np.asarray(hidden), fast


@pytest.fixture(scope="module")
def learner():
    return HebbFF(INPUTS, HIDDEN)


@pytest.mark.parametrize("interval", [1, 7])
def test_two_thirds_are_new_and_the_others_come_once_again_after_the_interval(interval):
    task = Familiarity(30, interval, 20_000)
    sources, found = np.asarray(task.sources(KEY)), task.sample(KEY).support
    is_new = sources == np.arange(len(sources))
    assert abs(is_new.mean() - 2 / 3) < 0.01
    assert set((np.arange(len(sources)) - sources)[~is_new]) == {interval}
    assert np.unique(sources, return_counts=True)[1].max() == 2
    x, y = np.asarray(found.x), np.asarray(found.y[:, 0])
    assert set(np.unique(x)) == {-1.0, 1.0}
    assert abs(x.mean()) < 0.01
    repeats = np.flatnonzero(y)
    np.testing.assert_array_equal(x[repeats], x[repeats - interval])
    assert 0.3 < y.mean() < 0.36
    assert repeats.min() >= interval


def test_with_several_intervals_no_item_comes_three_times():
    sources = np.asarray(Familiarity(5, (2, 5), 5000).sources(KEY))
    assert np.unique(sources, return_counts=True)[1].max() == 2
    assert set(np.unique(np.arange(5000) - sources)) == {0, 2, 5}
    later = np.asarray(TASK.after(5).sources(KEY))
    assert set(np.unique(np.arange(LENGTH) - later)) == {0, 5}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"intervals": 0}, "repeated after at least one item, not after 0"),
        ({"intervals": ()}, "at least one item"),
        ({"intervals": 20, "length": 20}, "none can be repeated after 20"),
        ({"repeat": 0.0}, "a probability above zero, not 0.0"),
        ({"repeat": 1.5}, "a probability above zero, not 1.5"),
        ({"inputs": 0}, "inputs"),
        ({"length": -1}, "length"),
    ],
)
def test_bad_streams_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        Familiarity(**arguments)


def test_answers_and_fast_weights_are_those_of_a_loop(learner):
    stream = TASK.sample(KEY).support
    answers, hidden, fast = by_hand(learner, stream)
    state = learner.adapt(learner.init(KEY), stream, KEY)
    np.testing.assert_allclose(state.weights[1], fast, atol=1e-5)
    told = {name: float(value) for name, value in strengths(learner).items()}
    powers = told["lambda"] ** np.arange(LENGTH - 1, -1, -1)
    np.testing.assert_allclose(fast, told["eta"] * (hidden * powers[:, None]).T @ np.asarray(stream.x), atol=1e-6)
    for slow in (0, 2):
        np.testing.assert_array_equal(state.weights[slow], learner.start[slow])
    y = np.asarray(stream.y[:, 0])
    loss, metrics = learner.evaluate(state, stream)
    np.testing.assert_allclose(loss, np.mean(np.logaddexp(0, answers) - y * answers), rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], np.mean((answers > 0) == y), rtol=1e-6)
    np.testing.assert_allclose(metrics["true_positive_rate"], np.mean(answers[y > 0] > 0), rtol=1e-6)
    np.testing.assert_allclose(metrics["false_positive_rate"], np.mean(answers[y == 0] > 0), rtol=1e-6)


def test_a_repeated_item_moves_its_preactivation_by_eta_times_inputs_times_activity(learner):
    x = jax.random.rademacher(KEY, (1, INPUTS), float)
    state = learner.adapt(learner.init(KEY), Examples(x, jnp.zeros((1, 1))), KEY)
    before, after = (learner.network.run(weights, x[0]) for weights in (learner.start, state.weights))
    moved = strengths(learner)["eta_d"] * before.y[1]
    np.testing.assert_allclose(after.z[0], before.z[0] + moved, rtol=1e-5)


def test_meta_parameters_are_counted_as_published():
    def count(learner):
        return sum(leaf.size for leaf in jax.tree.leaves(split(learner)[0]))

    n, d = HIDDEN, INPUTS
    assert count(HebbFF(d, n)) == n * d + 2 * n + 1 + 2
    assert count(HebbFF(d, n, uniform=True)) == n * d + 5
    assert np.all(HebbFF(d, n).resample(KEY).start[1] == 0)


def test_without_plasticity_nothing_is_known(learner):
    still = eqx.tree_at(lambda it: it.rule.coefficients.values, learner, jnp.array([0.0, 0.01]))
    found = still.run(Familiarity(INPUTS, 2, 4000).sample(KEY), KEY)[1]
    assert found["accuracy"] < 0.69
    assert abs(found["true_positive_rate"] - found["false_positive_rate"]) < 0.05


def test_the_meta_gradient_is_that_of_finite_differences(x64):
    learner = HebbFF(INPUTS, HIDDEN)
    learner = eqx.tree_at(lambda it: it.rule.coefficients.values, learner, jnp.array([-0.6, 0.2]))
    episode = Familiarity(INPUTS, 2, 50).sample(KEY)

    def loss(values):
        changed = eqx.tree_at(lambda it: it.rule.coefficients.values, learner, values)
        return changed.run(episode, KEY)[0]

    found = Reverse().value_and_grad(learner, episode, KEY).gradient
    loss, values, width = jax.jit(loss), learner.rule.coefficients.values, 1e-5
    differences = [(loss(values + step) - loss(values - step)) / (2 * width) for step in width * jnp.eye(2)]
    np.testing.assert_allclose(found.rule.coefficients.values, differences, rtol=1e-6)
    assert found.start[1] is None


def test_estimators_agree_on_answers_along_the_way(learner):
    few = mp.learners.freeze(learner, lambda it: it.start)
    found = [
        estimator.value_and_grad(few, TASK.sample(KEY), KEY).gradient.rule.coefficients.values
        for estimator in (Reverse(), Reversible(), ForwardMode())
    ]
    for other in found[1:]:
        np.testing.assert_allclose(found[0], other, rtol=1e-3)


RNN = Sequential(mp.networks.Recurrent(2, 3, tau=2.0), Dense(3, 2), readout=mp.networks.SquaredError())


@pytest.mark.parametrize("when", ["step", "minibatch", "own loss"])
def test_every_way_to_learn_is_scored_before_it_learns(when):
    """Sequences, steps of time and minibatches: the mean over losses on the weights before each update."""
    rule, key = mp.rules.gradient(), jax.random.key(1)
    rule = eqx.tree_at(lambda it: it.coefficients.values, rule, jnp.array([0.1]))
    own = (lambda logits, y: jnp.mean(jnp.abs(logits - y))) if when == "own loss" else None
    every_step, minibatch = when == "step", when == "minibatch"
    made = PlasticLearner(
        RNN, rule, mp.feedback.Symmetric(), every_step=every_step, minibatch=minibatch, scored=2, prequential=True,
        outer_loss=own,
    )  # fmt: skip
    shape = (3, 2, 5, 2) if minibatch else (3, 5, 2)
    support = Examples(*(jax.random.normal(k, shape) for k in jax.random.split(key)))
    start = made.init(key)
    loss = made.evaluate(made.adapt(start, support, key), support)[0]
    state, losses, seen = start, [], made.precompute(support)
    for number in range(len(jax.tree.leaves(seen)[0])):
        example = jax.tree.map(lambda leaf, number=number: leaf[number], seen)
        if every_step:
            dynamics = RNN.start() if example.is_first else state.dynamics
            logits = RNN.step(state.weights, dynamics, example.x)[1].logits
            losses += [0.5 * np.sum((logits - example.y) ** 2)] if example.scored else []
        else:
            pairs = zip(example.x, example.y, strict=True) if minibatch else [(example.x, example.y)]
            for x, y in pairs:
                logits = RNN(state.weights, x)
                half = 0.5 * np.mean(np.sum((logits - y)[-2:] ** 2, axis=1))
                losses.append(half if own is None else np.mean(np.abs(logits - y)))
        state = made.update(state, example, key)
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-5)


def test_the_decay_stays_a_fraction_and_a_held_sign_stays():
    made = HebbFF(INPUTS, HIDDEN, -1)
    outer, parameters = optimizer(made, 0.5), split(made)[0]
    state = outer.init(parameters)
    up = jax.tree.map(lambda leaf: jnp.full_like(leaf, -1.0), parameters)
    for gradient, expected in ((up, 0.0), (jax.tree.map(jnp.negative, up), 1.0)):
        for _ in range(40):
            updates, state = outer.update(gradient, state, parameters)
            parameters = eqx.apply_updates(parameters, updates)
        told = strengths(eqx.combine(parameters, split(made)[1]))
        np.testing.assert_allclose(told["lambda"], expected, atol=1e-6)
        assert told["eta"] < 0


def test_a_scaled_term_is_the_term_times_its_size():
    signals = Signals(*(jnp.arange(1.0, n + 1) for n in (3, 2, 3, 2, 2)), weight=jnp.ones((2, 3)))
    update, memory = Scaled(Hebb(), 0.3)(signals, ())
    np.testing.assert_allclose(update.dense(signals.weight), 0.3 * np.outer([1, 2], [1, 2, 3]), rtol=1e-6)
    assert memory == ()
    assert Scaled(Hebb(), 0.3).log_size == pytest.approx(log(0.3))
    with pytest.raises(ValueError, match="the size of a term must be positive, not 0"):
        Scaled(Hebb(), 0.0)


def test_fast_and_summed_synapses_carry_errors_as_derivatives_say():
    fast = Layer(Full(inputs=3, outputs=4), Instant(Tanh()), fast=Full(inputs=3, outputs=4))
    net = Sequential(
        Dense(2, 3, Tanh(), bias=True, fast=True), fast, Layer(Summed(inputs=4, outputs=1, bias=True), Instant()),
        readout=BinaryCrossEntropy(),
    )  # fmt: skip
    assert net.fast_connections == (1, 3)
    assert [np.any(weight != 0) for weight in net.init(KEY)] == [True, False, True, False, True]
    weights = tuple(jax.random.normal(KEY, shape) for shape in net.shapes)
    example = Examples(jnp.array([0.3, -0.7]), jnp.array([1.0]))
    made = PlasticLearner(net, eqx.tree_at(lambda r: r.coefficients.values, mp.rules.gradient(), jnp.ones(1)),
                          mp.feedback.Symmetric(), start=weights)  # fmt: skip
    after = made.update(made.init(KEY), example, KEY).weights
    expected = jax.grad(lambda w: net.readout.loss(net(w, example.x)[None], example.y[None]))(weights)
    for old, new, slope in zip(weights, after, expected, strict=True):
        np.testing.assert_allclose(new, old - slope, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="fast synapses join the same neurons"):
        Sequential(Layer(Full(inputs=3, outputs=4), Instant(), fast=Full(inputs=2, outputs=4)))


def test_the_idealised_memory_has_the_published_constants():
    memory = AddressedMemory(50, 6)
    found = memory.alpha, memory.decay, memory.bias, memory.reach
    np.testing.assert_allclose(found, (8.4936, 0.992485, -5.6967, 67.3), rtol=1e-3)
    assert memory.true_positives(memory.reach) == pytest.approx(0.995, abs=1e-6)
    assert memory.true_positives(159.2) == pytest.approx(0.5, abs=2e-3)
    assert memory.true_positives(100.0) == pytest.approx(0.926, abs=1e-3)
    corrected = [memory.corrected_true_positives(interval) for interval in (100.0, 200.0)]
    np.testing.assert_allclose(corrected, (0.923, 0.278), atol=1e-3)
    assert AddressedMemory(50, 6, 0.01, 0.99).alpha == pytest.approx(7.671, abs=1e-3)
    for wrong in ({"stored": 0}, {"true_positive_rate": 0.001}, {"stored": 1, "address": 1}):
        with pytest.raises(ValueError, match=r"at least one bit|between 0 and 1|no decay"):
            AddressedMemory(**{"stored": 50, "address": 6, **wrong})


def test_one_unit_is_addressed_and_the_simulation_keeps_to_the_formula():
    memory = AddressedMemory(50, 6)
    made = AddressedFamiliarity(memory.address, memory.stored, memory.decay, memory.bias)
    x = jax.random.rademacher(KEY, (56,), float)
    inputs = np.sort(made.start[0][:, :56] @ x)
    assert inputs[-1] == 50 * 6
    assert inputs[-2] <= 50 * 4
    found = made.run(Familiarity(56, 100, 4000).sample(KEY), KEY)[1]
    assert abs(found["true_positive_rate"] - memory.true_positives(100.0)) < 0.06
    assert found["false_positive_rate"] < 0.03


def test_a_network_without_decay_is_overwritten_as_a_loop_says():
    weight, x = np.asarray(jax.random.normal(KEY, (6, 6))), np.asarray(jax.random.rademacher(KEY, (6,), float))
    found, novelty = anti_hebbian(jnp.asarray(weight), jnp.asarray(x), 0.7)
    h = weight @ x
    active = np.argsort(np.argsort(h)) >= 3
    expected = weight - 0.7 / 6 * np.outer(active, x)
    expected -= expected.mean(axis=1, keepdims=True)
    expected /= expected.std(axis=1, keepdims=True) * np.sqrt(6)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(novelty, h[active].sum() - h[~active].sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        (OneInterval, {"arms": ("hebbian",)}, "one is 'hebbian'"),
        (OneInterval, {"interval": 0}, "interval must be positive"),
        (OneInterval, {"test_intervals": (1, 1)}, "test_intervals are different"),
        (Curriculum, {"inputs": (3,), "hidden": ()}, "sizes of the same networks"),
        (WhichTerms, {"updates": 0}, "updates must be positive"),
        (ClosedForm, {"lengths": (0,)}, "must be positive"),
        (ClosedForm, {"stored": 1, "address": 1}, "no decay reaches"),
    ],
)
def test_bad_experiments_are_refused(kind, fields, said):
    with pytest.raises(ConfigError, match=said):
        kind(**fields)


def test_streams_too_short_for_an_interval_are_refused():
    with pytest.raises(ConfigError, match="in a stream of 50 items"):
        replace(ClosedForm(), items=50).studies(NOTHING, lambda name: NOTHING)


def test_a_sign_belongs_to_the_hebbian_term():
    with pytest.raises(ValueError, match="a sign, -1, 0 or 1, is that of HebbFF's own"):
        HebbFF(INPUTS, HIDDEN, -1, terms=(Hebb(),))
