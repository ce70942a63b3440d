"""Polynomial three-factor rules and the published estimator of their meta-gradient, in closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from metaplax.estimators import ForwardMode
from metaplax.experiments.maoutsa2025.meta_learned import lasso, theta_of
from metaplax.experiments.maoutsa2025.polynomial import Immediate, polynomial_learner
from metaplax.plasticity import Eligibility, FluctuationPolynomial, Signals
from metaplax.plasticity.applied import over_sequence
from metaplax.tasks import DelayedNonMatch, Perturbations

NEURONS, STEPS, TAU_E, TAU_W = 4, 12, 6.0, 50.0
KICKS = Perturbations(NEURONS, amplitude=4.0, probability=0.3, tau=3.0)
TASK = DelayedNonMatch(examples=2, steps=STEPS, duration=2, gaps=(2, 2), perturbations=KICKS)
KEY = jax.random.key(2)
EPISODE = TASK.sample(KEY)


def learner(theta, silent=0):
    return polynomial_learner(TASK, jnp.asarray(theta, float), TAU_E, TAU_W, 4, silent, 100.0)


def traces():
    """Of random activity, the trace of every monomial by loops, and its signals."""
    rng = np.random.default_rng(0)
    r, x = rng.normal(size=(STEPS, 3)), rng.normal(size=(STEPS, 2))
    found, mean = np.zeros((3, 3, 2, 3)), np.zeros(2)
    for t in range(STEPS):
        d, mean = x[t] - mean, 0.05 * mean + 0.95 * x[t]
        found *= np.exp(-1 / TAU_E)
        for k in range(3):
            for i in range(3):
                found[k, i] += (t >= 3) * np.outer(d**i, r[t] ** k)
    reward = np.zeros((STEPS, 1))
    reward[-1] = 1.0
    pre, post, modulator = (jnp.asarray(one, jnp.float32) for one in (r, x, reward))
    return found, Signals(pre, post, pre, post, post, jnp.zeros((2, 3)), modulator=modulator)


def test_the_trace_is_linear_in_the_coefficients():
    found, signals = traces()
    theta = np.random.default_rng(1).normal(size=(3, 3))
    term = Eligibility(FluctuationPolynomial(jnp.asarray(theta, jnp.float32)), TAU_E)
    matrix = over_sequence(term, signals, term.init(2, 3))[0].dense(signals.weight)
    np.testing.assert_allclose(matrix, np.einsum("ki,kipq->pq", theta, found), rtol=1e-3, atol=1e-4)
    # A power of zero makes all partners alike; the constant term does not depend on activity at all.
    decay = np.exp(-1 / TAU_E)
    np.testing.assert_allclose(found[0, 0], (1 - decay ** (STEPS - 3)) / (1 - decay), rtol=1e-6)
    np.testing.assert_allclose(np.ptp(found[0], axis=-1), 0, atol=1e-9)
    np.testing.assert_allclose(np.ptp(found[:, 0], axis=1), 0, atol=1e-9)


def test_weights_decay_without_coefficients_and_the_estimator_is_biased():
    theta = np.zeros((3, 3))
    theta[1, 1] = 0.05

    @jax.jit
    def all_of_it(theta, key):
        moved = eqx.tree_at(theta_of, given, {f"{k}{i}": theta[k, i] for k in range(3) for i in range(3)})
        start = moved.init(jax.random.split(key)[0])
        gradients = [one.value_and_grad(moved, EPISODE, key) for one in (Immediate(), ForwardMode())]
        parts = [one.gradient.rule.terms[0].term.theta for one in gradients]
        losses = [one.loss for one in gradients]
        return start.weights[1], moved.adapt(start, EPISODE.support, key).weights[1], losses, parts

    given = learner(theta)
    before, after, _, _ = all_of_it(jnp.zeros((3, 3)), KEY)
    np.testing.assert_allclose(after, (1 - 1 / TAU_W) ** 2 * before, rtol=1e-4)
    _, _, losses, (found, exact) = all_of_it(jnp.asarray(theta), KEY)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    # The constant term: the sum of the prediction errors, which activity does not change, at every synapse.
    decay = np.exp(-1 / TAU_E)
    surprise = -found["00"] / (NEURONS**2 * (1 - decay ** (STEPS - 3)) / (1 - decay))
    state, expected = given.init(jax.random.split(KEY)[0]), 0.0
    for number in range(2):
        kind = EPISODE.support.y[number]
        key = jax.random.fold_in(jax.random.split(KEY)[1], number)
        example = jax.tree.map(lambda leaf, at=number: leaf[at], EPISODE.support)
        state = given.update(state, example, key)
        expected += 3.0 * state.modulator[kind]
    np.testing.assert_allclose(surprise, expected, rtol=1e-4)
    assert not np.allclose(found["11"], exact["11"], rtol=0.5)
    shrunk, _ = lasso(0.5).update(split_theta(given), lasso(0.5).init(None), split_theta(given))
    np.testing.assert_allclose(shrunk.rule.terms[0].term.theta["11"], 0.05 + 0.5, rtol=1e-6)


def split_theta(given):
    return eqx.filter(given, eqx.is_inexact_array)
