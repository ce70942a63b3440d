"""Learning from reward in a recurrent rate network: its parts in closed form, and a trial against loops in NumPy."""

from itertools import pairwise, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaplax.experiments.miconi2017.reward_learning import error_of, learner_for, network_for
from metaplax.feedback.modulators import RewardPrediction
from metaplax.learners import IncompatibleError
from metaplax.networks import Leaky, Perturbed, RateNetwork, SquaredError, TargetLevels
from metaplax.plasticity import (
    Clipped,
    Decay,
    Dense,
    Fluctuation,
    FluctuationPolynomial,
    NodePerturbation,
    Outer,
    Signals,
    StepLimit,
)
from metaplax.plasticity.applied import over_sequence
from metaplax.tasks import DelayedNonMatch, Perturbations, SelectiveIntegration

NEURONS, STEPS, SCORED, TAU = 12, 30, 6, 5.0
KICKS = Perturbations(NEURONS, amplitude=8.0, probability=0.1, tau=TAU)
TASK = DelayedNonMatch(examples=8, steps=STEPS, duration=6, gaps=(5, 5), perturbations=KICKS)
RATE, LIMIT, SILENT = 3.0, 2e-3, 3
LEARNER = learner_for(TASK, Fluctuation(3.0), RATE, LIMIT, SCORED, SILENT)
KEY = jax.random.key(4)


@pytest.fixture(scope="module")
def trials():
    """States of the learner before and after each of eight trials, and these."""
    update, state = jax.jit(lambda state, example: LEARNER.update(state, example, KEY)), LEARNER.init(KEY)
    seen = TASK.some(KEY, 8)
    states = [state]
    for number in range(8):
        states.append(update(states[-1], jax.tree.map(lambda leaf, at=number: leaf[at], seen)))
    return states, seen


def loop(weights, x, mean):
    """Activity, fluctuations, and the eligibility by three loops, of one trial."""
    seen, among, _ = (np.asarray(weight, float) for weight in weights)
    u, r, rates, moved, e = np.zeros(NEURONS), np.zeros(NEURONS), [], [], np.zeros((NEURONS, NEURONS))
    for t, now in enumerate(np.asarray(x, float)):
        u = u + (-u + among @ r + seen @ now[:2] + now[2:]) / TAU
        u[[1, 10]], u[11] = 1.0, -1.0
        d = u - mean
        mean = 0.05 * mean + 0.95 * u
        if t > 2:
            for i, j in product(range(NEURONS), repeat=2):
                e[i, j] += (r[j] * d[i]) ** 3
        r = np.tanh(u)
        rates.append(r)
        moved.append(d)
    return np.asarray(rates), np.asarray(moved), e, mean


def test_trials_equal_loops_in_numpy(trials):
    states, seen = trials
    mean, expected = np.zeros(NEURONS), np.zeros(4)
    for number, (before, after) in enumerate(pairwise(states)):
        rates, _, e, mean = loop(before.weights, seen.x[number], mean)
        kind, level = number % 4, (-0.98, 0.98, 0.98, -0.98)[number % 4]
        error = np.mean(np.abs(rates[-SCORED:, 0] - level))
        asked = -RATE * expected[kind] * (error - expected[kind]) * e
        change = np.clip(asked, -LIMIT, LIMIT) if number >= SILENT else np.zeros_like(e)
        np.testing.assert_allclose(after.weights[1] - before.weights[1], change, atol=3e-7)
        expected[kind] = 0.75 * expected[kind] + 0.25 * error
        np.testing.assert_allclose(after.modulator, [*-expected, number + 1], rtol=1e-5)
        np.testing.assert_allclose(error_of(LEARNER, before, after, jnp.int32(kind)), error, rtol=1e-5)
        np.testing.assert_allclose(after.memory[1][0], mean, rtol=1e-4, atol=1e-6)
        for number in (0, 2):
            assert np.array_equal(after.weights[number], before.weights[number])
    assert np.max(np.abs(states[-1].weights[1] - states[-2].weights[1])) == pytest.approx(LIMIT, rel=1e-3)
    assert np.array_equal(states[0].weights[1], states[SILENT].weights[1])


def test_activity_of_the_network(trials):
    states, seen = trials
    network, weights = network_for(TASK), states[0].weights
    assert np.array_equal(weights[0][0], [0.0, 0.0])
    assert np.array_equal(weights[2], np.eye(1, NEURONS))
    run = network.run(weights, seen.x[1])
    rates, *_ = loop(weights, seen.x[1], np.zeros(NEURONS))
    np.testing.assert_allclose(run.y[1], rates, atol=1e-5)
    np.testing.assert_allclose(run.y[1][:, [1, 10, 11]], np.tile(np.tanh([1.0, 1.0, -1.0]), (STEPS, 1)), rtol=1e-6)
    np.testing.assert_allclose(run.logits[:, 0], run.y[1][:, 0], rtol=1e-6)
    slope = network.slope(jax.tree.map(lambda leaf: leaf[5], run), 1)
    np.testing.assert_allclose(slope[:2], [1 - rates[5, 0] ** 2, 0.0], atol=1e-5)
    # The output neuron sees no input, so that another one changes nothing at the first step.
    other = network.step(weights, network.start(), seen.x[1][0].at[:2].add(1.0))[1]
    assert other.y[1][0] == run.y[1][0, 0]
    assert other.y[1][2] != run.y[1][0, 2]


def pulse(power, steps=401):
    """The fluctuations of a lone neuron after a kick of 16 at step 1, gathered with a constant rate before it."""
    u = np.zeros(steps)
    for t in range(1, steps):
        u[t] = u[t - 1] + (-u[t - 1] + 16.0 * (t == 1)) / 30.0
    one = jnp.ones((steps, 1))
    with_power = Fluctuation(power, after=0)
    signals = Signals(one, one, one, one, jnp.asarray(u[:, None]), jnp.ones((1, 1)), perturbation=jnp.zeros((steps, 1)))
    update = over_sequence(with_power, signals, with_power.init(1, 1))[0]
    return update.post[:, 0], update.dense(signals.weight).item(), signals


def test_what_is_left_of_a_pulse():
    moved, total, signals = pulse(1.0)
    np.testing.assert_allclose(moved[1:5], [0.533333, 0.008889, -0.016741, -0.017449], atol=2e-6)
    assert abs(total) < 2e-6
    assert pulse(3.0)[1] == pytest.approx(0.151644, abs=2e-6)
    assert pulse(3.0)[1] == pytest.approx(0.99961 * (16 / 30) ** 3, rel=1e-5)
    assert pulse(2.0)[1] == pytest.approx(0.279564, abs=2e-6)
    assert pulse(0.5)[1] == pytest.approx(-7.168, abs=0.01)
    # Without perturbations node perturbation has nothing, where fluctuations have.
    assert not np.any(over_sequence(NodePerturbation(), signals, ())[0].dense(signals.weight))


def test_reward_prediction():
    model, logits = RewardPrediction(4.0, types=2, type_of=lambda y: y[-1], power=1), jnp.full((3, 1), 0.5)
    readout, memory = TargetLevels((0.0, 1.0)), model.init()
    for visit in range(1, 4):
        signal, memory = model(memory, readout, logits, jnp.ones(3, jnp.int32))
        assert memory[1] == pytest.approx(-0.5 * (1 - 0.75**visit))
        assert memory[0] == 0
    assert signal[0] == pytest.approx(-0.5 * 0.75**2 * 0.5 * (1 - 0.75**2))  # pyright: ignore
    # As expected: no change. Better than expected: what was done is done more.
    assert model(jnp.asarray([0.0, -0.5]), readout, logits, jnp.ones(3, jnp.int32))[0][0] == 0
    assert model(jnp.asarray([0.0, -0.9]), readout, logits, jnp.ones(3, jnp.int32))[0][0] > 0
    late = RewardPrediction(4.0, silent=2)
    memory, heard = late.init(), []
    for _ in range(3):
        signal, memory = late(memory, SquaredError(), logits, jnp.zeros((3, 1)))
        heard.append(bool(signal[0]))
    assert heard == [False, False, True]
    assert memory[1] == 3
    with pytest.raises(ValueError, match="must not be negative, but are 0 and -1"):
        RewardPrediction(silent=-1)


def test_clipped_changes():
    weight, post = jnp.asarray([[2.0, -3.0], [0.1, 0.2]]), jnp.asarray([1.0, -1.0])
    update = Clipped(jnp.asarray(0.5), (Outer(post, jnp.asarray([1.0, 0.2])), Decay(jnp.asarray(0.1))))
    np.testing.assert_allclose(update.dense(weight), [[0.5, 0.5], [-0.5, -0.22]], rtol=1e-6)
    for factor in (jnp.asarray(-2.0), jnp.asarray([3.0, -1.0]), jnp.asarray([[1.0, -2.0], [0.5, 0.0]])):
        by = factor[:, None] if factor.ndim == 1 else factor
        np.testing.assert_allclose(update.scaled(factor).dense(weight), by * update.dense(weight), rtol=1e-6)
    assert Clipped(jnp.asarray(1.0), (Dense(weight),)).matrices()[0] is weight
    with pytest.raises(ValueError, match="must be positive, not 0"):
        StepLimit(entry=0.0)


def test_tasks():
    shown = [TASK.seen(KEY, jnp.int32(kind)) for kind in range(4)]
    on = [[(1, 7, first), (12, 18, second)] for first, second in product((0, 1), repeat=2)]
    for kind, seen in zip(on, shown, strict=True):
        expected = np.zeros((STEPS, 2))
        for begin, end, channel in kind:
            expected[begin:end, channel] = 1.0
        assert np.array_equal(seen, expected)
    episode = TASK.sample(KEY)
    assert episode.support.y.tolist() == [0, 1, 2, 3] * 2
    assert episode.query.y.tolist() == [0, 1, 2, 3]
    kicks = np.asarray(Perturbations(50, amplitude=2.0, probability=0.1, tau=10.0).draw(KEY, 400))
    assert np.all(np.abs(kicks[0]) <= 1.0)
    assert np.all(kicks[0] != 0)
    assert not np.any(kicks[1:4])
    assert np.mean(kicks[4:] != 0) == pytest.approx(0.1, abs=0.01)
    assert 1.9 < np.max(np.abs(kicks[4:])) <= 2.0
    wide = DelayedNonMatch(steps=400, duration=20, gaps=(10, 300), perturbations=KICKS)
    gaps = {int(jnp.argmax(wide.seen(key, jnp.int32(1))[:, 1])) - 21 for key in jax.random.split(KEY, 20)}
    assert len(gaps) > 10
    assert min(gaps) >= 10
    assert max(gaps) <= 300
    chosen = SelectiveIntegration(steps=2000, duration=1998, perturbations=KICKS)
    for kind, (channel, sign) in enumerate(((0, 1), (1, 1), (0, -1), (1, -1))):
        x = np.asarray(chosen.seen(KEY, jnp.int32(kind)))
        assert x[1:1999, channel].mean() == pytest.approx(0.25 * sign, abs=0.05)
        assert x[1:1999, channel].std() == pytest.approx(0.5, abs=0.05)
        assert np.all(x[:, 2 + channel] == 1.0)
        assert not np.any(x[:, 3 - channel])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Leaky(held=((0, 1.0), (0, 2.0))), "named once"),
        (lambda: Leaky(leak="activity", held=((0, 1.0),)), "held at a potential"),
        (lambda: RateNetwork(2, 5, held=((5, 1.0),)), "only neurons 0 to 4 can be held, not 5"),
        (lambda: RateNetwork(0, 5), "at least 1 input"),
        (lambda: TargetLevels(()), "at least one class"),
        (lambda: Fluctuation(0.0), "must be positive, not 0"),
        (lambda: FluctuationPolynomial(jnp.zeros((2, 3))), "as many powers"),
        (lambda: FluctuationPolynomial(jnp.zeros((2, 2)), persistence=1.0), "a factor in"),
        (lambda: DelayedNonMatch(steps=100), "do not fit into 100 steps"),
        (lambda: SelectiveIntegration(steps=100), "do not fit into 100 steps"),
        (lambda: Perturbations(probability=2.0), "from 0 to 1, not 2"),
        (
            lambda: NodePerturbation()(Signals(*[jnp.ones(1)] * 5, jnp.ones((1, 1)))),
            "needs neurons with a perturbation",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_perturbed_wiring():
    wiring, weight = Perturbed(2, 3), jnp.arange(6.0).reshape(3, 2)
    y = jnp.asarray([1.0, -1.0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(wiring(weight, y), [-0.9, -0.8, -0.7], rtol=1e-6)
    back = jax.vjp(lambda y: wiring(weight, y), y)[1](jnp.asarray([1.0, 2.0, 3.0]))[0]
    assert np.array_equal(wiring.back(weight, jnp.asarray([1.0, 2.0, 3.0])), back)
    with pytest.raises(IncompatibleError, match="takes a support set of shape"):
        LEARNER.check(jax.eval_shape(SelectiveIntegration(8, steps=30, duration=20, perturbations=KICKS).sample, KEY))
