"""Running the inner loop backwards gives the gradient of reverse mode, for everything that can be undone."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree

import metaplax as mp
import small
from metaplax.estimators import FallbackWarning, Reverse, Reversible
from metaplax.estimators.reversible import why_not_reversible
from metaplax.estimators.reversible_loop import Residuals, forward, stretch_length
from metaplax.learners import InnerStep, PlasticState
from metaplax.plasticity import (
    ALL_TERMS,
    AbstractTerm,
    AbstractUpdate,
    Dense,
    Outer,
    PseudoGradient,
    Rule,
    shared,
    undo,
)

KEY = jax.random.key(5)
SIZES = (5, 4, 3, 3)


class OwnGain(AbstractTerm):
    """A term that looks at the weights themselves, not only at products with them."""

    name = "gain"
    text = "tanh(Wₗ)ᵀ1"
    latex = r"\tanh(W)^\top 1"
    locality = "layer"

    def __call__(self, signals):
        return Outer(signals.post_error, jnp.sum(jnp.tanh(signals.weight), axis=0) * signals.pre)


class Saturating(AbstractTerm):
    """A term whose change is a full matrix."""

    name = "full"
    text = "tanh(Wₗ)"
    latex = r"\tanh(W)"

    def __call__(self, signals):
        return Dense(jnp.tanh(signals.weight))


class Clip(AbstractUpdate):
    """Weights are held within limits: what was beyond is lost."""

    def scaled(self, coefficient):
        return self

    def dense(self, weight):
        return jnp.clip(weight, -0.3, 0.3) - weight


class Clipping(AbstractTerm):
    """A term whose change cannot be undone although nothing in it is a matrix."""

    name = "clip"
    text = "clip(Wₗ)"
    latex = r"\operatorname{clip}(W)"

    def __call__(self, signals):
        return Clip()


def gradient(estimator, learner, episode):
    run = jax.jit(lambda episode: estimator.value_and_grad(learner, episode, KEY))
    found = run(episode)
    return np.append(ravel_pytree(found.gradient)[0], found.loss)


@pytest.mark.usefixtures("x64")
@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_equals_reverse_mode(data):
    terms = data.draw(st.lists(st.sampled_from(range(len(ALL_TERMS))), min_size=1, max_size=4, unique=True))
    feedback = data.draw(st.sampled_from(sorted(small.FEEDBACK)))
    sharing = data.draw(st.sampled_from(["global", "layer", "neuron", "synapse"]))
    anchor_every, steps = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 7))
    rule = Rule(tuple(ALL_TERMS[k]() for k in terms), shared([small.COEFFICIENTS[k] for k in terms], sharing, SIZES))
    learner = small.learner(feedback, rule, SIZES)
    episode = mp.tasks.Episode(small.examples(steps, 1, SIZES), small.examples(3, 2, SIZES))
    found = gradient(Reversible(anchor_every), learner, episode)
    expected = gradient(Reverse(), learner, episode)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("feedback", ["random", "symmetric", "kolen_pollack"])
def test_learned_initial_weights_and_feedback(feedback):
    plain = small.learner(feedback, mp.rules.f_bio(), SIZES)
    start = plain.init(KEY)
    has_weights = start.feedback is not None
    pathway = mp.feedback.Learned(plain.feedback, start.feedback) if has_weights else plain.feedback
    learner = mp.PlasticLearner(plain.network, plain.rule, pathway, start=start.weights)
    episode = mp.tasks.Episode(small.examples(6, 1, SIZES), small.examples(3, 2, SIZES))
    expected = gradient(Reverse(), learner, episode)
    assert len(expected) > 4
    np.testing.assert_allclose(gradient(Reversible(4), learner, episode), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.usefixtures("x64")
def test_a_term_that_looks_at_the_weights_themselves():
    learner = small.learner("random", Rule((PseudoGradient(), OwnGain()), shared((0.03, 0.02))), SIZES)
    episode = mp.tasks.Episode(small.examples(6, 1, SIZES), small.examples(3, 2, SIZES))
    assert why_not_reversible(learner, episode, KEY) is None
    expected = gradient(Reverse(), learner, episode)
    np.testing.assert_allclose(gradient(Reversible(), learner, episode), expected, rtol=1e-9, atol=1e-11)


def test_full_matrices_fall_back_and_say_so():
    learner = small.learner("random", Rule((PseudoGradient(), Saturating()), shared((0.03, 0.01))))
    sentence = r"Reversible does not apply, Checkpointed takes its place: the change .*weights\[0\].* is a full matrix"
    with pytest.warns(FallbackWarning, match=sentence):
        found = gradient(Reversible(), learner, small.episode())
    np.testing.assert_allclose(found, gradient(Reverse(), learner, small.episode()), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("x64")
def test_clipping_falls_back_and_says_so():
    learner = small.learner("random", Rule((PseudoGradient(), Clipping()), shared((0.03, 1.0))))
    with pytest.warns(
        FallbackWarning, match="Checkpointed takes its place: an update of the kind Clip cannot be undone"
    ):
        found = gradient(Reversible(), learner, small.episode())
    np.testing.assert_allclose(found, gradient(Reverse(), learner, small.episode()), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kept", [False, True])
def test_changes_are_kept_only_if_products_do_not_tell_them(kept):
    terms = (PseudoGradient(), OwnGain()) if kept else tuple(term() for term in ALL_TERMS)
    step, start, inputs, wanted = parts(small.learner("random", Rule(terms, shared([0.01] * len(terms)))), 4)
    taken = jax.eval_shape(lambda start: forward(step, start, inputs, wanted), start)[1]
    assert (taken.changes is not None) == kept
    assert all(leaf.ndim <= 2 for leaf in jax.tree.leaves(taken.pullbacks)), "only vectors are kept at every step"


def parts(learner, steps):
    learner = mp.learners.join(*mp.learners.split(learner))
    step, start = InnerStep(learner, KEY), learner.init(KEY)
    wanted = (
        jax.tree.map(lambda _: False, step),
        PlasticState(tuple(True for _ in start.weights), jax.tree.map(lambda _: False, start.feedback)),
    )
    return step, start, (small.examples(steps), jnp.arange(steps)), wanted


def test_what_is_recovered_drifts_by_less_than_1e_5():
    # As many steps as there are between two anchors in an episode of 10,000.
    steps = stretch_length(jnp.zeros(10_000), Reversible().anchor_every)
    rates = (1e-2, 1e-3, 1e-3)
    terms = (PseudoGradient(), mp.plasticity.WeightDecay(), mp.plasticity.Oja())
    learner = small.learner("random", Rule(terms, shared(rates)))
    step, start, inputs, wanted = parts(learner, steps)

    @jax.jit
    def there_and_back(start, inputs):
        end, taken = forward(step, start, inputs, wanted)

        def back(after, inputs_and_record):
            inputs, record = inputs_and_record
            changes = record.rebuild((step, inputs, after)).changes()
            return jax.tree.map(undo, after, changes), None

        return end, jax.lax.scan(back, end, (inputs, taken.pullbacks), reverse=True)[0]

    end, before = there_and_back(start, inputs)
    for now, then, last in zip(before.weights, start.weights, end.weights, strict=True):
        assert np.linalg.norm(last - then) > 0.1 * np.linalg.norm(then)
        assert np.linalg.norm(now - then) < 1e-5 * np.linalg.norm(then)


def test_memory_grows_by_vectors_only():
    learner = small.learner("random", mp.rules.f_bio(), (60, 50, 40, 6))

    def memory(steps):
        episode = mp.tasks.Episode(small.examples(steps, 1, (60, 6)), small.examples(4, 2, (60, 6)))
        run = jax.jit(lambda episode: Reversible().value_and_grad(learner, episode, KEY))
        return run.lower(episode).compile().memory_analysis().temp_size_in_bytes

    per_step = (memory(450) - memory(250)) / 200
    products = sum(learner.network.sizes[1:]) + 2 * sum(learner.network.sizes[:-1])
    assert per_step < 1.5 * 4 * products


def test_many_stretches_equal_reverse_mode_in_single_precision():
    learner = small.learner("random", mp.rules.f_bio())
    learner = eqx.tree_at(lambda t: t.rule.coefficients.values, learner, jnp.array([5e-3, 1e-3, 1e-3]))
    episode = small.episode(steps=301)
    expected = gradient(Reverse(), learner, episode)
    np.testing.assert_allclose(gradient(Reversible(50), learner, episode), expected, rtol=1e-4)


def test_stretches_are_equal_and_at_most_as_long_as_asked_for():
    assert stretch_length(jnp.zeros(250), 500) == 250
    assert stretch_length(jnp.zeros(10_000), 500) == 500
    assert stretch_length(jnp.zeros(501), 500) == 250
    assert stretch_length(jnp.zeros(0), 500) == 1


def test_anchors_need_a_positive_interval():
    with pytest.raises(ValueError, match="not every 0"):
        Reversible(0)


def test_a_record_keeps_what_is_not_given_once():
    given, other = jnp.ones(2), jnp.zeros(3)
    record = Residuals({"a": given, "b": other, "c": (other, given)}, [given])
    assert len(record.kept) == 1
    rebuilt = record.rebuild([jnp.full(2, 7.0)])
    np.testing.assert_array_equal(rebuilt["a"], 7.0)
    np.testing.assert_array_equal(rebuilt["c"][1], 7.0)
    assert rebuilt["b"] is rebuilt["c"][0]
