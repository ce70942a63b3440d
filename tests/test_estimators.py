"""Every estimator agrees with central finite differences, for every term, pathway and sharing."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import metaplax as mp
import small
from metaplax.estimators import Checkpointed, ForwardMode, Reverse, Reversible
from metaplax.estimators.unrolled import in_chunks
from metaplax.learners import IncompatibleError

ESTIMATORS = {
    "reverse": Reverse(),
    "checkpointed": Checkpointed(3),
    "forward": ForwardMode(),
    "reversible": Reversible(3),
}
SMALLER = (5, 4, 3, 3)


def finite_differences(learner, episode, key, step=1e-5):
    parameters, constants = mp.learners.split(learner)
    flat, unravel = ravel_pytree(parameters)
    loss = jax.jit(lambda flat: eqx.combine(unravel(flat), constants).run(episode, key)[0])
    steps = step * np.eye(len(flat))
    return np.array([(loss(flat + d) - loss(flat - d)) / (2 * step) for d in steps])


def gradients(learner, episode, key):
    for name, estimator in ESTIMATORS.items():
        run = jax.jit(lambda e, k, estimator=estimator: estimator.value_and_grad(learner, e, k))
        found = run(episode, key)
        yield name, float(found.loss), np.asarray(ravel_pytree(found.gradient)[0])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("feedback", small.FEEDBACK)
def test_all_terms_under_every_pathway(feedback):
    learner, episode, key = small.learner(feedback), small.episode(), jax.random.key(5)
    expected = finite_differences(learner, episode, key)
    assert np.all(np.abs(expected) > 1e-7), "a term without influence would prove nothing"
    for name, _, gradient in gradients(learner, episode, key):
        np.testing.assert_allclose(gradient, expected, rtol=2e-6, atol=1e-8, err_msg=name)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("sharing", ["global", "layer", "neuron", "synapse"])
def test_all_sharings(sharing):
    rule = mp.plasticity.Rule(
        (mp.plasticity.PseudoGradient(), mp.plasticity.WeightDecay(), mp.plasticity.Oja()),
        mp.plasticity.shared((0.05, 0.003, 0.02), sharing, SMALLER),
    )
    learner = small.learner("random", rule, SMALLER)
    episode = mp.tasks.Episode(small.examples(5, 1, SMALLER), small.examples(4, 2, SMALLER))
    expected = finite_differences(learner, episode, jax.random.key(5))
    for name, _, gradient in gradients(learner, episode, jax.random.key(5)):
        np.testing.assert_allclose(gradient, expected, rtol=2e-6, atol=1e-8, err_msg=name)


@pytest.mark.usefixtures("x64")
def test_penalty_is_part_of_the_loss_and_its_slope_at_zero_is_zero():
    rule = mp.plasticity.Rule(
        (mp.plasticity.PseudoGradient(), mp.plasticity.ErrorHebb()), mp.plasticity.shared((0.03, 0.0))
    )
    key = jax.random.key(5)
    plain, charged = (
        small.learner("random", rule, penalty=penalty) for penalty in (mp.plasticity.NoPenalty(), mp.plasticity.L1(2.0))
    )
    for (name, a, without), (_, b, with_l1) in zip(
        gradients(plain, small.episode(), key), gradients(charged, small.episode(), key), strict=True
    ):
        np.testing.assert_allclose(b - a, 2.0 * 0.03, rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(with_l1 - without, [2.0, 0.0], atol=1e-9, err_msg=name)


@pytest.mark.parametrize("length", [1, 3, 10, 100])
@pytest.mark.parametrize("steps", [1, 2, 7, 9, 10])
def test_segments_are_all_of_the_steps_in_order(steps, length):
    head, rest = in_chunks(jnp.arange(steps), length)
    assert head is None or head.shape[1] == length
    parts = [part.ravel() for part in (head, rest) if part is not None]
    np.testing.assert_array_equal(jnp.concatenate(parts), np.arange(steps))


def test_reverse_keeps_more_than_checkpointed():
    learner, episode = small.learner(), small.episode(steps=400)

    def memory(estimator):
        run = jax.jit(lambda e: estimator.value_and_grad(learner, e, jax.random.key(0)).gradient)
        return run.lower(episode).compile().memory_analysis().temp_size_in_bytes

    assert memory(Checkpointed()) < memory(Reverse()) / 3


def test_forward_mode_refuses_many_meta_parameters():
    sizes = (30, 40, 10)
    learner = small.learner("random", small.full_rule("synapse", sizes), sizes)
    with pytest.raises(IncompatibleError, match=r"16,000 of them .* use Reverse or Checkpointed"):
        ForwardMode().check(learner)


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_a_frozen_learner_is_refused(estimator):
    with pytest.raises(IncompatibleError, match="no meta-parameters"):
        estimator.check(mp.learners.freeze(small.learner()))


def test_checkpointed_needs_a_positive_interval():
    with pytest.raises(ValueError, match="not every 0"):
        Checkpointed(0)


def test_frozen_parts_get_no_gradient():
    learner = small.learner("random", mp.rules.f_bio())
    frozen = mp.learners.freeze(learner, lambda t: t.rule)
    assert mp.learners.split(frozen)[0].rule.coefficients.values is None
    per_neuron = small.learner("random", mp.rules.f_bio("neuron", small.SIZES))
    half = mp.learners.freeze(per_neuron, lambda t: t.rule.coefficients.values[0])
    for estimator in ESTIMATORS.values():
        gradient = estimator.value_and_grad(half, small.episode(), jax.random.key(0)).gradient
        assert gradient.rule.coefficients.values[0] is None
        assert gradient.rule.coefficients.values[1].shape == (3, small.SIZES[2])
