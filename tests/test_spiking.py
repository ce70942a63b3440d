"""Spiking networks and e-prop against loops over time written from the equations, and against automatic derivatives."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaplax as mp
import small
from metaplax.estimators import Checkpointed, ConjugateGradient, Contrastive, Reverse, Truncated
from metaplax.learners import BPTT, Descent, EProp, IncompatibleError, SpikingLearner
from metaplax.networks import AbstractSurrogate, FastSigmoid, RecurrentLIF, SpikingWeights, Triangular
from metaplax.tasks import Episode, Examples, SpikingPatterns, SpikingSinusoids

KEY = jax.random.key(5)
STEPS, BATCH = 12, 3
LIF = RecurrentLIF(7, 6, 2, tau_membrane=20.0, tau_readout=9.0, gains=(0.6, 0.5, 0.8))
ALIF = replace(LIF, adaptation=0.05, tau_adaptation=30.0)
NETWORKS = pytest.mark.parametrize("network", [LIF, ALIF], ids=["LIF", "ALIF"])


@pytest.fixture
def case(x64):
    """Weights, input spikes and targets for every step."""
    del x64
    weight_key, spike_key, target_key = jax.random.split(KEY, 3)
    x = jax.random.bernoulli(spike_key, 0.4, (BATCH, STEPS, LIF.inputs)).astype(float)
    return LIF.init(weight_key), x, jax.random.normal(target_key, (BATCH, STEPS, LIF.outputs))


def by_hand(network: RecurrentLIF, weights: SpikingWeights, x: np.ndarray):
    """One sequence: voltages, adaptation, spikes and outputs, step by step."""
    w_in, w_rec, w_out = map(np.asarray, (weights.input, weights.recurrent, weights.readout))
    v, a, z = (np.zeros((len(x), network.hidden)) for _ in range(3))
    o = np.zeros((len(x), network.outputs))
    for t in range(len(x) - 1):
        v[t + 1] = network.alpha * v[t] + w_rec @ z[t] + w_in @ x[t] - network.threshold * z[t]
        a[t + 1] = network.rho * a[t] + z[t] if network.adaptation else 0
        z[t + 1] = v[t + 1] > network.threshold + network.adaptation * a[t + 1]
        o[t + 1] = network.kappa * o[t] + w_out @ z[t + 1]
    return v, a, z, o


def traces_by_hand(network, weights, x, y, inner_gradient: EProp):
    """The e-prop gradient of one sequence, with a filtered eligibility trace for every synapse."""
    v, a, z, o = by_hand(network, weights, x)
    feedback = np.asarray(inner_gradient.feedback(network, weights))
    pseudo = Triangular(0.3, network.threshold)
    alpha, kappa, rho, beta = network.alpha, network.kappa, network.rho, network.adaptation
    rate = inner_gradient.rate_penalty * (z.mean(0) - inner_gradient.rate_target)
    gradients = [np.zeros_like(weights.input), np.zeros_like(weights.recurrent), np.zeros_like(weights.readout)]
    for which, pre in enumerate((x, z)):
        filtered = np.zeros((network.hidden, pre.shape[1]))
        slow = np.zeros_like(filtered)
        for t in range(len(x)):
            ahead = 1 if which == 0 and inner_gradient.ahead else 0
            seen = sum(alpha ** (t - 1 + ahead - s) * pre[s] for s in range(t + ahead))
            seen = np.zeros(pre.shape[1]) + seen
            psi = np.asarray(pseudo(jnp.asarray(v[t] - network.threshold - beta * a[t])))
            eligibility = psi[:, None] * (seen[None] - beta * slow)
            slow = rho * slow + eligibility
            filtered = kappa * filtered + eligibility
            gradients[which] += (feedback.T @ (o[t] - y[t]))[:, None] * filtered + rate[:, None] * eligibility
    for t in range(len(x)):
        low_pass = sum(kappa ** (t - s) * z[s] for s in range(t + 1))
        gradients[2] += np.outer(o[t] - y[t], low_pass)
    return gradients


def close(found, expected, tolerance=1e-9):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.abs(one - other).max() <= tolerance * max(1, np.abs(other).max())


@NETWORKS
def test_the_network_is_the_loop(case, network):
    weights, x, _ = case
    recording = network(weights, jnp.swapaxes(x, 0, 1))
    assert 0.05 < float(recording.spikes.mean()) < 0.6, "something happens, but not always"
    found = (recording.voltages, recording.adaptation, recording.spikes, recording.outputs)
    for row, sequence in enumerate(x):
        expected = by_hand(network, weights, np.asarray(sequence))
        close([part[:, row] for part in found], expected, 1e-12)


@NETWORKS
def test_the_last_frame_changes_nothing(case, network):
    weights, x, _ = case
    x = jnp.swapaxes(x, 0, 1)
    close(network(weights, x), network(weights, x.at[-1].set(1 - x[-1])), 0)


FORMS = pytest.mark.parametrize("form", ["whole", "online"])


@NETWORKS
@FORMS
@pytest.mark.parametrize(
    "more", [{}, {"ahead": True}, {"random_feedback": 3, "rate_penalty": 0.3}], ids=["plain", "ahead", "random"]
)
def test_eprop_is_the_sum_over_traces(case, network, form, more):
    weights, x, y = case
    inner_gradient = EProp(form=form, **more)
    expected = [
        traces_by_hand(network, weights, *map(np.asarray, pair), inner_gradient) for pair in zip(x, y, strict=True)
    ]
    expected = [sum(gradients) for gradients in zip(*expected, strict=True)]
    close(jax.jit(inner_gradient.direction, static_argnums=(0, 4))(network, weights, x, y, True), expected)


@NETWORKS
def test_eprop_is_the_derivative_without_the_paths_from_neuron_to_neuron(case, network):
    weights, x, y = case
    smooth = replace(network, surrogate=Triangular())

    def loss(weights, ghost):
        """What neurons receive from others is what they received from the ghost, but with their own weights."""
        seen = jax.lax.stop_gradient(smooth(ghost, jnp.swapaxes(x, 0, 1)).spikes)
        both = replace(smooth, inputs=network.inputs + network.hidden)
        silent = SpikingWeights(
            jnp.concatenate([weights.input, weights.recurrent], 1), jnp.zeros_like(weights.recurrent), weights.readout
        )
        outputs = both(silent, jnp.concatenate([jnp.swapaxes(x, 0, 1), seen], -1)).outputs
        return 0.5 * jnp.sum((outputs - jnp.swapaxes(y, 0, 1)) ** 2)

    inner_gradient = EProp()
    close(inner_gradient.direction(network, weights, x, y, False), jax.grad(loss)(weights, weights))


@NETWORKS
def test_the_readout_gradient_is_exact_and_the_others_point_nearly_the_same_way(case, network):
    weights, x, y = case
    inner_gradient = EProp()
    smooth = replace(network, surrogate=Triangular())
    found = inner_gradient.direction(network, weights, x, y, False)
    exact = jax.grad(lambda weights: inner_gradient.loss(smooth, weights, x, y, inner=False))(weights)
    close(found.readout, exact.readout)
    for name in ("input", "recurrent"):
        one, other = (np.ravel(getattr(tree, name)) for tree in (found, exact))
        cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        assert 0.8 < cosine < 1 - 1e-9, "close, but not the same"


def test_one_target_is_a_target_for_every_step(case):
    weights, x, y = case
    one, repeated = y[:, 0], jnp.broadcast_to(y[:, :1], y.shape)
    inner_gradient = EProp()
    close(
        inner_gradient.direction(LIF, weights, x, one, True),
        inner_gradient.direction(LIF, weights, x, repeated, True),
        1e-12,
    )


@pytest.mark.parametrize("inner_gradient", [BPTT(0.2), EProp(rate_penalty=0.2)], ids=["bptt", "eprop"])
def test_firing_rates_are_charged_in_the_inner_loop_only(case, inner_gradient):
    weights, x, y = case
    bare = eqx.tree_at(lambda tree: tree.rate_penalty, inner_gradient, 0.0)
    inner, outer, none = (
        c.loss(LIF, weights, x, y, inner)
        for c, inner in ((inner_gradient, True), (inner_gradient, False), (bare, True))
    )
    assert float(outer) == pytest.approx(float(none), rel=1e-12)
    z = LIF(weights, jnp.swapaxes(x, 0, 1)).spikes
    deviation = (z.mean((0, 2)) if isinstance(inner_gradient, BPTT) else z.mean(0)) - inner_gradient.rate_target
    charged = 0.2 * (jnp.mean(deviation**2) if isinstance(inner_gradient, BPTT) else STEPS / 2 * jnp.sum(deviation**2))
    assert float(inner - outer) == pytest.approx(float(charged), rel=1e-9)


def test_surrogates():
    distance = jnp.asarray([-0.2, -0.05, 0.0, 0.05])
    assert np.allclose(FastSigmoid(10.0)(distance), [1 / 9, 1 / 2.25, 1, 1 / 2.25])
    assert np.allclose(Triangular(0.3, 0.1)(distance), [0, 0.15, 0.3, 0.15])


class Fragile(AbstractSurrogate):
    """Nobody may ask for the derivative of a spike."""

    def __call__(self, distance):
        raise AssertionError("a spike was differentiated")


def spiking_learner(inner_gradient=None, steps=3, network=LIF, **more) -> SpikingLearner:
    return SpikingLearner(network, inner_gradient or EProp(), Descent(optax.adam(1e-2), steps), 0.1, key=KEY, **more)


def episode(case) -> Episode:
    _, x, y = case
    return Episode(Examples(x, y), Examples(x[::-1], y[::-1]))


@pytest.mark.parametrize("form", ["whole", "online"])
def test_no_pass_goes_back_through_time(case, form):
    fragile = replace(LIF, surrogate=Fragile())
    learner = spiking_learner(EProp(form=form), network=fragile)
    parameters, constants = mp.learners.split(learner)

    def program(estimator):
        return jax.make_jaxpr(
            lambda omega: estimator.value_and_grad(eqx.combine(omega, constants), episode(case), KEY).gradient
        )(parameters).jaxpr

    for variant in ("forward", "symmetric"):
        assert small.reversed_loops(program(Contrastive(0.5, variant))) == 0
    for estimator in (Reverse(), Truncated(1)):
        with pytest.raises(AssertionError, match="a spike was differentiated"):
            program(estimator)


def test_the_contrastive_gradient_is_the_closed_form(case):
    learner, task = spiking_learner(steps=5), episode(case)
    found = Contrastive(0.5, "symmetric").value_and_grad(learner, task, KEY)
    free_key = jax.random.split(KEY)[1]
    free = learner.adapt(learner.init(KEY), task.support, free_key)
    up, down = (learner.minimise(free, task.support, KEY, query=task.query, beta=beta).fast for beta in (0.5, -0.5))
    close(found.gradient.omega, jax.tree.map(lambda up, down: 0.1 * (down - up) / (2 * 0.5), up, down))
    assert float(found.loss) == float(learner.evaluate(free, task.query)[0])
    assert 0 < float(found.metrics["firing_rate"]) < 1


def test_every_part_learns_at_its_own_rate_and_is_pulled_back(case):
    _, x, y = case
    learner = spiking_learner(EProp(modulation=(1.0, 0.5, 0.1)))
    moved = jax.tree.map(lambda weight: weight + 1.0, learner.omega)
    found, _ = learner.direction(moved, (), Examples(x, y), Examples(x, y), 2.0)
    inner, outer = (learner.inner_gradient.direction(LIF, moved, x, y, part) for part in (True, False))
    for name, rate in (("input", 1.0), ("recurrent", 0.5), ("readout", 0.1)):
        whole = getattr(inner, name) + 2.0 * getattr(outer, name) + 0.1
        close(getattr(found, name), rate * whole, 1e-12)


def test_spikes_of_any_type_are_spikes(case):
    weights, x, y = case
    for form in ("whole", "online"):
        inner_gradient = EProp(form=form)
        close(
            inner_gradient.direction(LIF, weights, x.astype(int), y, True),
            inner_gradient.direction(LIF, weights, x, y, True),
            1e-12,
        )


def test_random_feedback_is_not_the_readout():
    network = RecurrentLIF(7, 6, 2)
    feedback = EProp(random_feedback=0).feedback(network, network.init(KEY))
    assert not np.allclose(feedback, network.init(jax.random.key(0)).readout)


def test_the_contrastive_rule_needs_a_pull(case):
    for estimator in (Contrastive(0.1), ConjugateGradient(2)):
        with pytest.raises(IncompatibleError, match=r"would be zero: .* give a pull"):
            estimator.check(SpikingLearner(LIF, BPTT(), Descent(optax.sgd(0.1), 2), 0.0), episode(case))


def test_rivals_learn_through_the_inner_loop(case):
    for inner_gradient, estimator in (
        (BPTT(), Reverse()),
        (EProp(), Checkpointed()),
        (EProp(), Truncated(2, reach_start=True)),
    ):
        learner = SpikingLearner(LIF, inner_gradient, Descent(optax.sgd(1e-2, 0.9, nesterov=True), 4), key=KEY)
        found = eqx.filter_jit(estimator.value_and_grad)(learner, episode(case), KEY).gradient
        assert all(np.all(np.isfinite(leaf)) and np.any(leaf) for leaf in jax.tree.leaves(found))


def test_eprop_learns(x64):
    del x64
    task = SpikingSinusoids(shots=6, queries=2, neurons=20, width=0.06)
    network = RecurrentLIF(20, 30)
    learner = SpikingLearner(network, EProp(), Descent(optax.adam(3e-3), 80), key=KEY)
    support = task.sample(KEY).support
    start = learner.init(KEY)
    before, after = (learner.evaluate(state, support)[0] for state in (start, learner.adapt(start, support, KEY)))
    assert float(after) < 0.3 * float(before)


def test_sinusoids_are_encoded_in_spikes():
    task = SpikingSinusoids(shots=400, queries=3)
    found = task.sample(KEY)
    assert found.support.x.shape == (400, 20, 100)
    assert found.query.y.shape == (3, 1)
    assert set(np.unique(found.support.x)) == {0, 1}
    assert float(found.support.x.sum((1, 2)).mean()) == pytest.approx(71, rel=0.05)
    peaks = [int(jnp.argmax(task.spikes(KEY, jnp.asarray([x])).sum((0, 1)))) for x in (-5.0, 0.0, 5.0)]
    assert np.allclose(peaks, [0, 50, 99], atol=2)


def test_patterns_are_the_same_in_every_run_and_their_spikes_are_not():
    found = SpikingPatterns(shots=4, queries=2, steps=30, neurons=10, width=0.1).sample(KEY)
    assert found.support.x.shape == (4, 30, 10)
    assert np.array_equal(found.support.y[0], found.query.y[1])
    assert not np.array_equal(found.support.x[0], found.support.x[1])
    assert SpikingPatterns().sample(jax.random.key(1)).support.y[0, 0] != found.support.y[0, 0]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: RecurrentLIF(tau_membrane=0.0), "tau_membrane must be positive"),
        (lambda: RecurrentLIF(adaptation=-1.0), "adaptation must not be negative"),
        (lambda: SpikingSinusoids(shots=0), "shots must be at least 1"),
        (lambda: SpikingPatterns(width=0.0), "width must be positive"),
        (lambda: SpikingPatterns(peak=1.5), "peak is a probability"),
        (lambda: SpikingSinusoids(steps=1), "steps must be at least 2"),
        (lambda: BPTT(rate_penalty=-1.0), "rate_penalty must not be negative"),
        (lambda: SpikingLearner(LIF, EProp(), Descent(optax.sgd(1.0), 1), -1.0), "strength must not be negative"),
    ],
)
def test_what_makes_no_sense(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def shapes(x, y) -> Episode:
    one = Examples(jnp.zeros(x), jnp.zeros(y))
    return Episode(one, one)


@pytest.mark.parametrize(
    ("x", "y", "classes", "sentence"),
    [
        ((4, 9, 8), (4, 2), None, "with 7 inputs takes arrays of shape"),
        ((4, 1, 7), (4, 2), None, "need at least 2 steps of time"),
        ((4, 9, 7), (4, 8, 2), None, "targets of 2 outputs are floating-point numbers of shape"),
        ((4, 9, 7), (4, 2), 2, "learns numbers, but the task has classes"),
    ],
)
def test_tasks_that_do_not_fit(x, y, classes, sentence):
    with pytest.raises(IncompatibleError, match=sentence):
        spiking_learner().check(shapes(x, y), classes)
