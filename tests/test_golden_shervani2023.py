"""Whole episodes agree with numbers computed by other programs, in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metaplax as mp
from conftest import golden_numbers
from metaplax.plasticity import ALL_TERMS, GlobalCoefficients, Rule
from metaplax.tasks import Episode, Examples

CASES = ["fixed_bio", "fixed_per_layer", "fixed_pool", "direct_pool", "symmetric_gradient"]
FEEDBACK = {"fixed": mp.feedback.RandomFixed, "direct": mp.feedback.Direct, "symmetric": mp.feedback.Symmetric}
ESTIMATORS = {
    "reverse": mp.estimators.Reverse(),
    "checkpointed": mp.estimators.Checkpointed(7),
    "forward": mp.estimators.ForwardMode(),
    "reversible": mp.estimators.Reversible(9),
}


def load(name):
    return golden_numbers(f"shervani2023_{name}")


def build(golden) -> tuple[mp.PlasticLearner, Episode]:
    layers = range(1, len(golden["dims"]))
    active = tuple(tuple(bool(a) for a in row) for row in golden["active_terms"])
    rule = Rule(tuple(term() for term in ALL_TERMS), GlobalCoefficients(jnp.asarray(golden["theta"])), active)
    kind = str(golden["feedback"])
    feedback = FEEDBACK[kind]()
    if kind != "symmetric":
        feedback = mp.feedback.Learned(feedback, tuple(jnp.asarray(golden[f"feedback_{n}"]) for n in layers))
    learner = mp.PlasticLearner(
        mp.MLP([int(n) for n in golden["dims"]]),
        rule,
        feedback,
        probes=(mp.analysis.alignment_angles, mp.analysis.orthonormality_error),
        start=tuple(jnp.asarray(golden[f"w_initial_{n}"]) for n in layers),
    )
    parts = (Examples(jnp.asarray(golden[f"x_{p}"]), jnp.asarray(golden[f"y_{p}"])) for p in ("support", "query"))
    return mp.learners.freeze(learner, lambda learner: (learner.start, learner.feedback)), Episode(*parts)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("case", CASES)
def test_gradient_and_measurements(case, estimator):
    golden = load(case)
    learner, episode = build(golden)
    run = jax.jit(lambda e: ESTIMATORS[estimator].value_and_grad(learner, e, jax.random.key(0)))(episode)
    loss, metrics, gradient = run.loss, run.metrics, run.gradient
    np.testing.assert_allclose(loss, golden["query_loss"], rtol=1e-9)
    np.testing.assert_allclose(metrics["accuracy"], golden["query_accuracy"], rtol=1e-9)
    np.testing.assert_allclose(gradient.rule.coefficients.values, golden["d_theta"], rtol=1e-9, atol=1e-12)
    angles = [metrics[f"angle{n}"] for n in range(len(golden["angles_deg"]))]
    # An angle of zero is known only to the square root of the rounding error of its cosine.
    rounding = np.where(golden["angles_deg"] < 1e-5, 3e-6, 0.0)
    np.testing.assert_array_less(np.abs(angles - golden["angles_deg"]), 1e-9 * golden["angles_deg"] + rounding + 1e-300)
    errors = [metrics[f"orthonormality{n}"] for n in range(1, len(golden["dims"]))]
    np.testing.assert_allclose(np.array(errors) * len(golden["y_query"]), golden["orthonormality"], rtol=1e-9)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("case", CASES)
def test_final_weights(case):
    golden = load(case)
    learner, episode = build(golden)
    key = jax.random.key(0)
    final = jax.jit(lambda e: learner.adapt(learner.init(key), e.support, key))(episode)
    for n, weight in enumerate(final.weights, start=1):
        np.testing.assert_allclose(weight, golden[f"w_final_{n}"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_gradient_in_single_precision(case):
    learner, episode = build(load(case))
    gradient = mp.estimators.Reversible().value_and_grad(learner, episode, jax.random.key(0)).gradient
    expected = load(case)["d_theta"]
    assert gradient.rule.coefficients.values.dtype == np.float32
    np.testing.assert_allclose(gradient.rule.coefficients.values, expected, rtol=1e-4, atol=1e-12)
