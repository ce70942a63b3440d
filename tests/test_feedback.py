"""Feedback pathways: backprop is the gradient, the others are what their papers say."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metaplax as mp
import small
from metaplax.plasticity import apply, rules


def one_example():
    network = mp.MLP(small.SIZES)
    weights = network.init(jax.random.key(0))
    x = small.examples(1).x[0]
    y = jnp.asarray(2, jnp.int32)
    activity = network.forward(weights, x)
    return network, weights, x, y, activity, network.readout.error(activity.y[-1], y)


def test_backprop_is_the_gradient():
    network, weights, x, y, _, _ = one_example()
    learner = mp.OnlinePlasticity(network, rules.gradient(), mp.feedback.Symmetric())
    learner = eqx.tree_at(lambda t: t.rule.coefficients.values, learner, jnp.ones(1))
    state = mp.learners.PlasticState(weights, None)
    after = learner.update(state, mp.tasks.Examples(x, y), jax.random.key(1))
    gradient = jax.grad(lambda w: network.readout.loss(network.forward(w, x).logits[None], y[None]))(weights)
    for new, old, g in zip(after.weights, weights, gradient, strict=True):
        np.testing.assert_allclose(old - new, g, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "activation", [mp.networks.Softplus(), mp.networks.Softplus(3.0), mp.networks.Tanh(), mp.networks.ReLU()]
)
def test_derivative_from_the_activity_is_the_derivative(activation):
    z = jnp.linspace(-2.0, 2.0, 10)
    np.testing.assert_allclose(activation.derivative(activation(z)), jax.vmap(jax.grad(activation))(z), atol=1e-6)


@pytest.mark.parametrize("name", small.FEEDBACK)
def test_errors_layer_by_layer(name):
    network, weights, _, _, activity, output_error = one_example()
    pathway = small.FEEDBACK[name]
    state = pathway.init(jax.random.key(3), network)
    errors = pathway.errors(state, network, weights, activity, output_error, jax.random.key(0))
    assert [e.shape for e in errors] == [(n,) for n in small.SIZES]
    np.testing.assert_array_equal(errors[-1], output_error)
    for layer in range(network.depth, 0, -1):
        back = {
            "symmetric": lambda n: weights[n],
            "sign_symmetric": lambda n: np.sign(weights[n]) * np.abs(state[n]),
        }.get(name, lambda n: state[n])(layer - 1)
        start = output_error if name == "direct" else errors[layer]
        slope = 1 - np.exp(-10 * np.asarray(activity.y[layer - 1]))
        expected = [
            sum(float(start[j]) * float(back[j, i]) for j in range(len(start))) * slope[i]
            for i in range(small.SIZES[layer - 1])
        ]
        np.testing.assert_allclose(errors[layer - 1], expected, rtol=1e-4, atol=1e-6)


def test_black_pixels_have_no_error():
    network, weights, _, _, _, output_error = one_example()
    activity = network.forward(weights, jnp.zeros(small.SIZES[0]))
    for pathway in small.FEEDBACK.values():
        state = pathway.init(jax.random.key(3), network)
        errors = pathway.errors(state, network, weights, activity, output_error, jax.random.key(0))
        np.testing.assert_array_equal(errors[0], 0)


def test_kolen_pollack_makes_weights_and_feedback_agree():
    learner = small.learner("kolen_pollack", rules.gradient())
    key = jax.random.key(0)
    start = learner.init(key)
    final = learner.adapt(start, small.examples(200), key)
    shrunk = (1 - 0.02) ** 200
    for w0, b0, w, b in zip(start.weights, start.feedback, final.weights, final.feedback, strict=True):
        np.testing.assert_allclose(w - b, shrunk * (w0 - b0), rtol=1e-3, atol=1e-5)


def test_fixed_pathways_stay_fixed():
    for name in ("random", "direct", "sign_symmetric"):
        learner = small.learner(name)
        start = learner.init(jax.random.key(0))
        final = learner.adapt(start, small.examples(5), jax.random.key(0))
        assert eqx.tree_equal(start.feedback, final.feedback)


def meta_gradient(kind, theta=0.05):
    learner = mp.OnlinePlasticity(mp.MLP(small.SIZES), rules.gradient(), mp.feedback.Symmetric(kind))
    learner = eqx.tree_at(lambda t: t.rule.coefficients.values, learner, jnp.full(1, theta))
    found = mp.estimators.Reverse().value_and_grad(learner, small.episode(), jax.random.key(0))
    return float(found.loss), float(found.gradient.rule.coefficients.values[0])


def by_hand(kind, theta=0.05):
    """Backprop through the episode with the feedback of choice in the backward pass, written out."""
    learner = mp.OnlinePlasticity(mp.MLP(small.SIZES), rules.gradient(), mp.feedback.Symmetric("exact"))
    network, episode = learner.network, small.episode()
    key = jax.random.split(jax.random.key(0))[0]
    start = learner.init(key).weights

    def adapt(theta, weights, backward):
        for t, (x, y) in enumerate(zip(episode.support.x, episode.support.y, strict=True)):
            activity = network.forward(weights, x)
            error = network.readout.error(activity.y[-1], y)
            changes = []
            for n in range(network.depth - 1, -1, -1):
                changes.insert(0, mp.plasticity.Outer(error, -theta * activity.y[n]))
                error = backward(error, weights[n], t, n) * network.activation.derivative(activity.y[n])
            weights = tuple(apply(w, [change]) for w, change in zip(weights, changes, strict=True))
        return weights

    final = adapt(theta, start, lambda e, w, t, n: e @ w)

    @jax.custom_vjp
    def product(error, weight, end):
        return error @ weight

    product.defvjp(
        lambda e, w, end: (e @ w, (w, end)),
        lambda kept, g: (kept[1] @ g, jnp.zeros_like(kept[0]), jnp.zeros_like(kept[1])),
    )
    ends = final if kind == "as_released" else None

    def loss(theta):
        backward = lambda e, w, t, n: product(e, w, w if ends is None else ends[n])  # noqa: E731
        weights = adapt(theta, start, backward)
        logits = jax.vmap(lambda x: network.forward(weights, x).logits)(episode.query.x)
        return network.readout.loss(logits, episode.query.y)

    return float(jax.grad(loss)(jnp.asarray(theta)))


@pytest.mark.usefixtures("x64")
def test_meta_gradients_of_backprop_differ_only_in_the_gradient():
    results = {kind: meta_gradient(kind) for kind in ("exact", "detached", "as_released")}
    losses = [loss for loss, _ in results.values()]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-12)
    gradients = [gradient for _, gradient in results.values()]
    assert len({round(g, 9) for g in gradients}) == 3


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kind", ["detached", "as_released"])
def test_stale_feedback_does_what_the_published_code_does(kind):
    np.testing.assert_allclose(meta_gradient(kind)[1], by_hand(kind), rtol=1e-10)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: mp.feedback.Learned(mp.feedback.Sparse(mp.feedback.RandomFixed())), "do not stay sparse"),
        (lambda: mp.feedback.Learned(mp.feedback.Symmetric()), "Symmetric has no weights of its own"),
        (lambda: mp.feedback.Sparse(mp.feedback.Symmetric()), "Symmetric has no synapses of its own"),
    ],
)
def test_pathways_that_could_not_do_what_they_say_are_refused_when_the_learner_is_made(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        mp.PlasticLearner(mp.MLP(small.SIZES), rules.gradient(), make())


def test_the_cosine_of_forward_and_feedback_weights():
    network, weights, *_ = one_example()
    cosines = mp.analysis.feedback_cosines
    negated = mp.learners.PlasticState(weights, tuple(-2 * w for w in weights))
    found = cosines(network, mp.feedback.RandomFixed(), negated, small.examples(1))
    assert list(found) == [f"feedback_cosine{layer}" for layer in range(2, network.depth + 1)]
    np.testing.assert_allclose(list(found.values()), -1.0, rtol=1e-6)
    with pytest.raises(ValueError, match="Symmetric has no feedback weights in the shape of the forward ones"):
        cosines(network, mp.feedback.Symmetric(), mp.learners.PlasticState(weights, None), small.examples(1))
