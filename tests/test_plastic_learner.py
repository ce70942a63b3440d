"""One plastic learner: any network, pathway and rule give what a formula, a loop or a derivative says."""

from math import log

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metaplax as mp
from metaplax.feedback import AbstractFeedback, Symmetric, chain, through
from metaplax.learners import PlasticLearner
from metaplax.learners.energy.eprop import eprop_traces, eprop_whole
from metaplax.networks import (
    LIF,
    MLP,
    Conv,
    Dense,
    LeakyReadout,
    Local,
    Recurrent,
    RecurrentLIF,
    Sequential,
    SquaredError,
    Tanh,
)
from metaplax.plasticity import (
    Eligibility,
    PseudoGradient,
    Rule,
    Sensitivity,
    Traced,
    shared,
)
from metaplax.tasks import Examples

KEY = jax.random.key(0)
STEPS, INPUTS, HIDDEN, OUTPUTS = 12, 3, 5, 2
STATIC = {
    "MLP": MLP((6, 5, 3)),
    "MLP with biases": MLP((6, 5, 3), Tanh(), bias=True),
    "convolutional": Sequential(
        Conv((6, 6, 2), 3, bias=True), Conv((4, 4, 3), 2, 2, Tanh(), stride=2), Dense((2, 2, 2), 3, bias=True)
    ),
    "locally connected": Sequential(
        Local((6, 6, 2), 3, bias=True), Local((4, 4, 3), 2, 2, Tanh(), stride=2), Dense((2, 2, 2), 3)
    ),
}
"""Networks without time."""


def tau_of(decay: float) -> float:
    """The time constant in steps, given the factor of one step."""
    return -1 / log(decay)


def some_weights(network, scale: float = 0.1):
    drawn = network.init(KEY)
    return tuple(w + scale * jax.random.normal(jax.random.fold_in(KEY, k), w.shape) for k, w in enumerate(drawn))


def changed(learner: PlasticLearner, weights, example: Examples):
    """The changes of the weights by one example."""
    state = eqx.tree_at(lambda state: state.weights, learner.init(KEY), weights)
    return jax.tree.map(jnp.subtract, learner.update(state, example, KEY).weights, weights)


def assert_descends(changes, gradient, rtol=1e-9):
    for change, slope in zip(changes, gradient, strict=True):
        np.testing.assert_allclose(change, -slope, rtol=rtol, atol=rtol * float(jnp.max(jnp.abs(slope))))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("minibatch", [False, True])
@pytest.mark.parametrize("name", STATIC)
def test_symmetric_feedback_is_the_gradient(name, minibatch):
    network = STATIC[name]
    weights = some_weights(network)
    x = jax.random.normal(KEY, (4, *network.populations[0].shape))
    y = jnp.array([0, 2, 1, 1])
    learner = PlasticLearner(network, Rule((PseudoGradient(),), shared([1.0])), Symmetric(), minibatch=minibatch)
    count = 4 if minibatch else 1
    example = Examples(x, y) if minibatch else Examples(x[0], y[0])
    loss = lambda w: network.readout.loss(jax.vmap(lambda x: network(w, x))(x[:count]), y[:count])  # noqa: E731
    gradient = jax.tree.map(lambda leaf: count * leaf, jax.grad(loss)(weights))
    assert_descends(changed(learner, weights, example), gradient)


def rate_network(leak: str, tau: float) -> tuple[Sequential, Rule]:
    """A rate network, and the rule that is its gradient with the recurrent paths cut."""
    network = Sequential(Recurrent(INPUTS, HIDDEN, tau=tau, leak=leak), Dense(HIDDEN, OUTPUTS), readout=SquaredError())
    trace = tau_of(1 - 1 / tau)
    # The leak comes after the nonlinearity, or before: the trace is one of synapses, or of their inputs.
    local = Eligibility(Sensitivity(), trace, "post_signal") if leak == "activity" else Traced(PseudoGradient(), trace)
    where = ((False, True), (False, True), (True, False))
    return network, Rule((PseudoGradient(), local), shared([1.0, 1 / tau]), where)


def rflo(leak: str, tau: float, weights, x, y):
    """Random feedback local online learning with symmetric feedback: a loop over neurons and time in NumPy."""
    w_in, w_rec, w_out = (np.asarray(w) for w in weights)
    before, trace = np.zeros(HIDDEN), [np.zeros((HIDDEN, n)) for n in (INPUTS, HIDDEN)]
    potential, total = np.zeros(HIDDEN), [np.zeros_like(w) for w in (w_in, w_rec, w_out)]
    for t in range(STEPS):
        current = w_in @ x[t] + w_rec @ before
        if leak == "activity":
            rate, slope = before + (np.tanh(current) - before) / tau, 1 - np.tanh(current) ** 2
        else:
            potential = potential + (current - potential) / tau
            rate, slope = np.tanh(potential), 1 - np.tanh(potential) ** 2
        error = w_out @ rate - y[t]
        for k, pre in enumerate((x[t], before)):
            for i in range(HIDDEN):
                inside = slope[i] if leak == "activity" else 1.0
                trace[k][i] = (1 - 1 / tau) * trace[k][i] + inside * pre / tau
                outside = 1.0 if leak == "activity" else slope[i]
                total[k][i] += (error @ w_out[:, i]) * outside * trace[k][i]
        total[2] += np.outer(error, rate)
        before = rate
    return total


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("leak", ["activity", "potential"])
def test_rate_networks_descend_as_rflo_does(leak):
    tau = 4.0
    network, rule = rate_network(leak, tau)
    weights = some_weights(network, 1.0)
    x, y = (jax.random.normal(jax.random.key(k), (STEPS, n)) for k, n in ((1, INPUTS), (2, OUTPUTS)))
    expected = rflo(leak, tau, weights, np.asarray(x), np.asarray(y))
    assert_descends(changed(PlasticLearner(network, rule, Symmetric()), weights, Examples(x, y)), expected)
    # With updates at every step the weights move along the way: for a small rate, to the same end.
    rate = 1e-7
    small = eqx.tree_at(lambda rule: rule.coefficients.values, rule, rate * rule.coefficients.values)
    online = PlasticLearner(network, small, Symmetric(), every_step=True)
    state = eqx.tree_at(lambda state: state.weights, online.init(KEY), weights)
    final = online.adapt(state, Examples(x[None], y[None]), KEY)
    moved = jax.tree.map(lambda after, before: (after - before) / rate, final.weights, weights)
    assert_descends(moved, expected, rtol=1e-5)


class Given(AbstractFeedback):
    """Errors reach the spiking neurons through a given matrix."""

    matrix: jax.Array

    def init(self, key, network):
        return None

    def errors(self, state, network, weights, activity, output_error, key):
        return chain(network, activity, output_error, through(network, [self.matrix]))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("adaptation", [0.0, 0.3])
def test_eprop_is_a_rule(adaptation):
    alpha, kappa, rho = 0.9, 0.8, 0.95
    lif = RecurrentLIF(
        INPUTS, HIDDEN, OUTPUTS, tau_of(alpha), tau_of(kappa), 1.0, 0.1, adaptation, tau_of(rho), gains=(3.0, 1.0, 1.0)
    )
    matrices = lif.init(KEY)
    x = jax.random.bernoulli(KEY, 0.5, (3 * STEPS, 1, INPUTS)).astype(float)
    y, feedback = jax.random.normal(KEY, (3 * STEPS, 1, OUTPUTS)), jax.random.normal(KEY, (OUTPUTS, HIDDEN))
    recording = lif(matrices, x)
    assert 0.1 < jnp.mean(recording.spikes) < 0.9
    traces = eprop_traces(lif, recording, x, lif.surrogate)
    expected = eprop_whole(lif, traces, recording.outputs - y, feedback, jnp.zeros((1, HIDDEN)))
    network = Sequential(
        LIF(INPUTS, HIDDEN, decay=alpha, adaptation=adaptation, adaptation_decay=rho, delayed=True),
        LeakyReadout(HIDDEN, OUTPUTS, tau=1 / (1 - kappa), leak="sum"),
        readout=SquaredError(),
    )
    rule = mp.rules.eprop(alpha, kappa, adaptation=adaptation, adaptation_decay=rho)
    learner = PlasticLearner(network, rule, Given(feedback))
    weights = (matrices.input, matrices.recurrent, matrices.readout)
    assert_descends(
        changed(learner, weights, Examples(x[:, 0], y[:, 0])), (expected.input, expected.recurrent, expected.readout)
    )
