"""Whole episodes of learned feedback and local plasticity agree with the published code, in double precision."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metaplax as mp
from conftest import golden_numbers
from metaplax.learners import FeedbackPlasticity
from metaplax.networks import Affine, DenseEncoder, EncoderMLP, MeanSquaredError, NoEncoder
from metaplax.plasticity import SynapseCoefficients
from metaplax.tasks import Episode, Examples

CASES = ["regression_error", "classification_label", "classification_frozen"]
ESTIMATORS = {
    "reverse": mp.estimators.Reverse(),
    "checkpointed": mp.estimators.Checkpointed(4),
    "reversible": mp.estimators.Reversible(6),
}


def load(name):
    return golden_numbers(f"lindsey2020_{name}")


def build(golden, bound=None):
    """The learner of a golden case; with a bound that is never reached, or none."""
    frozen = int(golden["frozen_layers"])
    layers = range(1, sum(name.startswith("w_initial") for name in golden) + 1)
    sizes = (golden["w_initial_1"].shape[1], *(golden[f"b_{n}"].shape[0] for n in layers))
    regression = str(golden["kind"]) == "regression"
    encoder = DenseEncoder(sizes[: frozen + 1]) if frozen else NoEncoder(sizes[:1])
    network = EncoderMLP(
        encoder,
        sizes[frozen + 1 :],
        MeanSquaredError() if regression else mp.networks.SoftmaxCrossEntropy(),
    )
    learner = FeedbackPlasticity(
        network,
        jax.random.key(0),
        signal="error" if golden["use_error"] else "target",
        output_path="drawn" if regression else "none",
        hidden_multiplier=float(golden["hidden_multiplier"]),
        bound=bound,
    )
    affine = [Affine(jnp.asarray(golden[f"w_initial_{n}"]), jnp.asarray(golden[f"b_{n}"])) for n in layers]
    front_weights = tuple(affine[:frozen]) if frozen else ()
    plastic = list(layers)[frozen:]
    paths = tuple(
        path
        and eqx.tree_at(
            lambda p: p.layers[0],
            path,
            Affine(jnp.asarray(golden[f"feedback_w_{n}"]), jnp.asarray(golden[f"feedback_b_{n}"])),
        )
        for n, path in zip(plastic, learner.feedback.paths, strict=True)
    )
    strength = jnp.asarray([float(golden.get(f"strength_{n}", 0.0)) for n in plastic])
    learner = eqx.tree_at(
        lambda it: (
            *(it.start, it.network.weights, it.network.network.offsets),
            *(it.feedback.paths, it.feedback.mixing, it.rule.coefficients),
        ),
        learner,
        (
            tuple(layer.weight for layer in affine[frozen:]),
            front_weights,
            tuple(layer.bias for layer in affine[frozen:]),
            paths,
            strength,
            SynapseCoefficients(tuple((jnp.asarray(golden[f"plasticity_{n}"]),) for n in plastic)),
        ),
    )
    parts = (Examples(jnp.asarray(golden[f"x_{p}"]), jnp.asarray(golden[f"y_{p}"])) for p in ("support", "query"))
    return learner, Episode(*parts), plastic


@pytest.mark.usefixtures("x64")
@pytest.mark.filterwarnings("ignore:Reversible does not apply")
@pytest.mark.parametrize(("estimator", "bound"), [("reverse", None), ("checkpointed", 1e9), ("reversible", None)])
@pytest.mark.parametrize("case", CASES)
def test_final_weights_loss_and_every_gradient(case, estimator, bound):
    golden = load(case)
    learner, episode, plastic = build(golden, bound)
    learner.check(jax.eval_shape(lambda: episode), 10 if case != "regression_error" else None)
    close = {"rtol": 1e-9, "atol": 1e-12}
    key = jax.random.key(0)
    final = jax.jit(lambda e: learner.adapt(learner.init(key), e.support, key))(episode)
    for n, weight in zip(plastic, final.weights, strict=True):
        np.testing.assert_allclose(weight, golden[f"w_final_{n}"], **close)
    run = jax.jit(lambda e: ESTIMATORS[estimator].value_and_grad(learner, e, key))
    found = run(episode)
    loss, gradient = found.loss, found.gradient
    np.testing.assert_allclose(loss, golden["query_loss"], rtol=1e-9)
    for n, layer in enumerate(gradient.network.weights, start=1):
        np.testing.assert_allclose(layer.weight, golden[f"d_w_initial_{n}"], **close)
        np.testing.assert_allclose(layer.bias, golden[f"d_b_{n}"], **close)
    for index, n in enumerate(plastic):
        np.testing.assert_allclose(gradient.start[index], golden[f"d_w_initial_{n}"], **close)
        np.testing.assert_allclose(gradient.network.network.offsets[index], golden[f"d_b_{n}"], **close)
        plasticity = gradient.rule.coefficients.values[index][0]
        np.testing.assert_allclose(plasticity, golden[f"d_plasticity_{n}"], **close)
        if gradient.feedback.paths[index] is not None:
            path = gradient.feedback.paths[index].layers[0]
            np.testing.assert_allclose(path.weight, golden[f"d_feedback_w_{n}"], **close)
            np.testing.assert_allclose(path.bias, golden[f"d_feedback_b_{n}"], **close)
            np.testing.assert_allclose(gradient.feedback.mixing[index], golden[f"d_strength_{n}"], **close)


@pytest.mark.parametrize("case", CASES)
def test_gradient_in_single_precision(case):
    golden = load(case)
    learner, episode, plastic = build(golden)
    run = jax.jit(lambda e: mp.estimators.Reverse().value_and_grad(learner, e, jax.random.key(0)))(episode)
    np.testing.assert_allclose(run.loss, golden["query_loss"], rtol=1e-4)
    for index, n in enumerate(plastic):
        expected = golden[f"d_plasticity_{n}"]
        scale = np.abs(expected).max()
        found = run.gradient.rule.coefficients.values[index][0]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * scale)
