"""Properties that every local rule has, on small networks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metaplax as mp
import small
from metaplax.learners import IncompatibleError, PlasticState
from metaplax.plasticity import Rule, shared

KEY = jax.random.key(0)


@pytest.mark.parametrize("feedback", ["symmetric", "random", "direct", "kolen_pollack"])
def test_renaming_hidden_neurons_changes_nothing(feedback):
    learner = small.learner(feedback)
    start, support = learner.init(KEY), small.examples(6)
    orders = [np.arange(n) for n in small.SIZES]
    for layer in (1, 2):
        orders[layer] = np.random.default_rng(layer).permutation(small.SIZES[layer])

    def rename(matrices, direct=False):
        posts = orders[1:] if not direct else [orders[-1]] * len(matrices)
        return tuple(m[np.ix_(o, i)] for m, o, i in zip(matrices, posts, orders, strict=False))

    state = start.feedback if start.feedback is None else rename(start.feedback, feedback == "direct")
    renamed = learner.adapt(PlasticState(rename(start.weights), state), support, KEY)
    final = learner.adapt(start, support, KEY)
    for a, b in zip(renamed.weights, rename(final.weights), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_vmap_equals_a_loop():
    learner = small.learner()
    episodes = [mp.tasks.Episode(small.examples(5, seed), small.examples(4, seed + 10)) for seed in range(3)]
    keys = jax.random.split(KEY, 3)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *episodes)
    losses, _ = jax.vmap(learner.run)(stacked, keys)
    expected = [learner.run(e, k)[0] for e, k in zip(episodes, keys, strict=True)]
    np.testing.assert_allclose(losses, jnp.stack(expected), rtol=1e-5)


@settings(deadline=None, max_examples=8)
@given(k=st.integers(0, 9), seed=st.integers(0, 100))
def test_a_coefficient_of_zero_leaves_the_weights_as_they_are(k, seed):
    rule = Rule((mp.plasticity.ALL_TERMS[k](),), shared((0.0,)))
    learner = small.learner(rule=rule)
    start = learner.init(jax.random.key(seed))
    final = learner.adapt(start, small.examples(3, seed), KEY)
    assert eqx.tree_equal(start.weights, final.weights)


def test_weights_and_feedback_are_drawn_independently():
    state = small.learner().init(KEY)
    bounds = [np.sqrt(6 / (a + b)) for a, b in zip(small.SIZES, small.SIZES[1:], strict=False)]
    for weight, back, bound in zip(state.weights, state.feedback, bounds, strict=True):
        assert weight.shape == back.shape
        assert np.abs(weight).max() <= bound
        assert np.abs(weight).max() > 0.8 * bound
        assert abs(np.corrcoef(weight.ravel(), back.ravel())[0, 1]) < 0.4


def test_accuracy_and_loss_of_a_known_network():
    learner = mp.OnlinePlasticity(mp.MLP((2, 2)), mp.rules.gradient(), mp.feedback.RandomFixed())
    state = PlasticState((10.0 * jnp.eye(2),), ())
    query = mp.tasks.Examples(jnp.eye(2), jnp.array([0, 0], jnp.int32))
    loss, metrics = learner.evaluate(state, query)
    assert float(metrics["accuracy"]) == 0.5
    np.testing.assert_allclose(loss, (np.log1p(np.exp(-10)) + 10 + np.log1p(np.exp(-10))) / 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("episode", "message"),
    [
        (
            mp.tasks.Episode(small.examples(3, 0, (7, 6)), small.examples(3)),
            r"takes a support set of shape \(examples, 12\).*\(3, 7\)",
        ),
        (mp.tasks.Episode(jnp.ones(3), small.examples(3)), "must be Examples of inputs and targets"),
        (mp.tasks.Episode(mp.tasks.Examples(jnp.ones((3, 12)), jnp.ones(3)), small.examples(3)), "takes classes"),
    ],
)  # fmt: skip
def test_episodes_that_do_not_fit_are_refused(episode, message):
    with pytest.raises(IncompatibleError, match=message):
        small.learner().check(episode)


@pytest.mark.parametrize(
    "coefficients",
    [shared((0.1,)), shared((0.1, 0.2), "layer", (12, 6)), shared((0.1, 0.2), "neuron", (12, 9, 6, 6))],
)
def test_coefficients_that_do_not_fit_are_refused(coefficients):
    rule = Rule((mp.plasticity.PseudoGradient(), mp.plasticity.Oja()), coefficients)
    with pytest.raises(IncompatibleError, match="coefficients do not fit its 2 terms"):
        small.learner(rule=rule).check(small.episode())


def test_more_classes_than_outputs_are_refused():
    with pytest.raises(IncompatibleError, match="the task has 7 classes, but the network 6 outputs"):
        small.learner().check(small.episode(), classes=7)


def test_rules_for_another_depth_are_refused():
    rule = Rule((mp.plasticity.PseudoGradient(),), shared((0.1,)), ((True,), (True,)))
    with pytest.raises(IncompatibleError, match="for 2 layers which terms act, but the network has 3"):
        small.learner(rule=rule).check(small.episode())


def test_angles():
    angle = mp.analysis.angle
    np.testing.assert_allclose(angle(jnp.array([1.0, 0]), jnp.array([1.0, 1])), 45, rtol=1e-6)
    np.testing.assert_allclose(angle(jnp.array([1.0, 0]), jnp.array([-2.0, 0])), 180, rtol=1e-6)
    assert angle(jnp.zeros(2), jnp.ones(2)) == 0


def test_a_square_orthogonal_network_has_no_orthonormality_error():
    learner = mp.OnlinePlasticity(mp.MLP((4, 4, 4)), mp.rules.gradient(), mp.feedback.RandomFixed())
    rotation = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0], jnp.float32)
    state = PlasticState((rotation, rotation), ())
    query = small.examples(5, sizes=(4, 4))
    errors = mp.analysis.orthonormality_error(learner.network, learner.feedback, state, query)
    activity = jax.vmap(lambda x: learner.network.forward(state.weights, x))(query.x)
    expected = jnp.mean(jnp.sum((activity.z[0] - activity.y[1]) ** 2, axis=1))
    np.testing.assert_allclose(errors["orthonormality1"], expected, rtol=1e-4)
