"""The benchmark measures what it says, and its PyTorch loop computes the same gradient."""

import json
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks import Case, bandwidth, measure, product_bytes

from metaplax import benchmark
from metaplax.cli import main
from metaplax.estimators import Reversible
from metaplax.learners import IncompatibleError
from metaplax.networks import ConvBlocks, ConvEncoder, EncoderMLP, MeanSquaredError, NoEncoder, SoftmaxCrossEntropy

SMALL = {"sizes": (784, 16, 12, 47), "shots": 3}


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("rule", ["bp", "f_bio", "pool"])
def test_the_pytorch_loop_has_the_same_loss_and_gradient(rule, merged):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    case, key = Case(rule, **SMALL), jax.random.key(3)
    eager = benchmark.eager_pytorch(case, merged, 1, key)
    task_key, learner_key = jax.random.split(key)
    (loss, _), gradient = Reversible().value_and_grad(case.learner(), case.task().sample(task_key), learner_key)
    np.testing.assert_allclose(eager.loss, loss, rtol=1e-5)
    expected = gradient.rule.coefficients.values
    np.testing.assert_allclose(eager.gradient, expected, rtol=1e-3, atol=1e-4 * float(jnp.abs(expected).max()))


def test_bytes_of_products():
    matrix, vector = jnp.ones((3, 5)), jnp.ones(5)

    def function(vector):
        unused = matrix @ (2 * vector)
        del unused
        step = lambda v, _: ((matrix @ v) @ matrix, None)  # noqa: E731
        return jax.lax.scan(step, vector, length=7)[0], jnp.outer(vector, vector) @ jnp.ones((5, 9))

    assert product_bytes(function, vector) == 7 * 2 * matrix.nbytes


def test_more_steps_read_more():
    def floor(shots):
        case = Case("f_bio", (784, 16, 12, 47), shots=shots)
        episode = case.task().sample(jax.random.key(0))
        return product_bytes(lambda e: Reversible().value_and_grad(case.learner(), e, jax.random.key(0)), episode)

    weights = 4 * (784 * 16 + 16 * 12 + 12 * 47)
    # Forwards, feedback, Oja's projection; all of them backwards, but for the input; the adjoint times the two
    # pre-synaptic factors, and once with both post-synaptic ones.
    assert 8 * weights < floor(3) / 15 < 9 * weights
    assert floor(6) == 2 * floor(3)


def test_bandwidth_is_a_speed():
    assert bandwidth(20, 30, repeats=2) > 1e6


def test_networks_that_do_not_suit_the_characters_are_refused():
    with pytest.raises(IncompatibleError, match="47 classes, but the network 8 outputs"):
        benchmark.benchmark(Case("fa", (784, 12, 8)))


@pytest.mark.parametrize("episodes", [1, 3])
def test_a_measurement(episodes):
    cost = measure(Case("fa", **SMALL), Reversible(), episodes, repeats=2)
    assert (cost.estimator, cost.episodes) == ("Reversible", episodes)
    assert min(cost.cpu_seconds, cost.wall_seconds, cost.compile_seconds, cost.temporary_bytes) > 0


def test_the_command(capsys, monkeypatch):
    monkeypatch.setattr("metaplax.cli.commands.restrict_to_cores", lambda count: None)
    monkeypatch.setattr("benchmarks.table.eager_pytorch", _not_installed)
    words = "bench --rule fa --sizes 784 12 47 --shots 2 --repeats 1 --episodes 1 2 --estimators reversible forward"
    assert main([*words.split(), "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert [(row["estimator"], row["episodes"]) for row in found["rows"]] == [
        (name, count) for name in ("Reversible", "ForwardMode") for count in (1, 2)
    ]
    assert found["pytorch"] is None
    for row in found["rows"]:
        np.testing.assert_allclose(row["floor_ratio"], row["cpu_seconds"] / found["floor_seconds"])
    assert "forward, 2 episodes per launch" in said.err
    assert main(words.split()) == 0
    assert "not installed" in capsys.readouterr().out


def _not_installed(*_, **__):
    raise ImportError


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--sizes 784", "sizes needs at least two layers"),
        ("--episodes 0", "episodes must be at least 1"),
        ("--cores 4096", "so 4096 cannot be used"),
        ("--rule oja", "invalid choice"),
    ],
)
def test_bad_input(words, sentence, capsys):
    assert main(["bench", *words.split()]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("name", ["metaopt-mnist", "metaopt-cifar10"])
def test_inner_steps_in_pytorch_have_the_same_energy_and_slope(name):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from benchmarks import pytorch_steps

    case = replace(benchmark.STEPS[name], batch=10)
    learner, support = case.learner(1), case.support()
    start = learner.init(jax.random.key(1))
    fast, first = start.fast, jax.tree.map(lambda leaf: leaf[:10], support)
    expected, slope = jax.value_and_grad(lambda fast: learner.nudged_energy(fast, start.buffers, first)[0])(fast)
    weights, x, y = pytorch_steps.as_tensors(case, fast, support)
    energy = pytorch_steps.energy(case, weights, x[:10], y[:10])
    energy.backward()
    np.testing.assert_allclose(float(energy.detach()), expected, rtol=1e-5)
    theirs = [tensor.detach() for tensor in pytorch_steps.as_tensors(case, slope, support)[0]]
    for found, wanted in zip(weights, theirs, strict=True):
        np.testing.assert_allclose(found.grad, wanted, atol=2e-4 * float(wanted.abs().max()) + 1e-6)


def test_eprop_in_pytorch_is_the_same_gradient():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from benchmarks import pytorch_eprop

    case = benchmark.STEPS["spiking-sinusoid"]
    weights, examples = (jax.tree.map(lambda leaf: leaf[1], part) for part in case.start())
    expected = case.direction(weights, examples)
    found = pytorch_eprop.direction(case, *pytorch_eprop.as_tensors(weights, examples))
    for one, other in zip(found, jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * float(jnp.abs(other).max()))


SMALL_STREAMS = {
    "regression-meta-step": EncoderMLP(NoEncoder((11,)), (7, 6, 1), MeanSquaredError()),
    "omniglot-meta-step": EncoderMLP(ConvEncoder(13, 1, 3, (2, 1)), (6, 9), SoftmaxCrossEntropy()),
}


@pytest.mark.parametrize("name", SMALL_STREAMS)
def test_meta_steps_in_pytorch_have_the_same_loss_and_gradient(name):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from benchmarks import pytorch_streams

    case = replace(benchmark.META_STEPS[name], network=SMALL_STREAMS[name], steps=5, queries=6)
    learner, given = case.learner(), case.episode()
    # Large enough that the plasticity matters.
    larger = jax.tree.map(lambda leaf: leaf + 0.01, learner.plasticity)
    learner = eqx.tree_at(lambda it: it.plasticity, learner, larger)
    (loss, _), gradient = case.estimator.value_and_grad(learner, given, jax.random.key(2))
    found, theirs = pytorch_streams.eager_run(learner, given)()
    np.testing.assert_allclose(found, loss, rtol=1e-5)
    ours = [leaf for group in pytorch_streams.as_tensors(gradient).values() for leaf in group]
    for one, other in zip(theirs, ours, strict=True):
        wanted = other.detach().numpy()
        got = np.zeros_like(wanted) if one is None else one.numpy()
        np.testing.assert_allclose(got, wanted, atol=1e-4 * np.abs(wanted).max() + 1e-7)


def test_the_command_for_meta_steps(capsys, monkeypatch):
    name = "regression-meta-step"
    tiny = replace(benchmark.META_STEPS[name], network=SMALL_STREAMS[name], steps=3)
    monkeypatch.setitem(benchmark.META_STEPS, name, tiny)
    monkeypatch.setattr("metaplax.cli.commands.restrict_to_cores", lambda count: None)
    assert main(["bench-steps", name, "--repeats", "1", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["name"], found["cpu_seconds"] > 0) == (name, True)


def test_the_command_for_inner_steps(capsys, monkeypatch):
    tiny = replace(benchmark.STEPS["metaopt-mnist"], batch=3)
    monkeypatch.setitem(benchmark.STEPS, "metaopt-mnist", tiny)
    monkeypatch.setattr("metaplax.cli.commands.restrict_to_cores", lambda count: None)
    words = ["bench-steps", "metaopt-mnist", "--steps", "2", "--repeats", "1"]
    assert main([*words, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["name"] == "metaopt-mnist"
    assert found["cpu_seconds"] > 0
    assert main(words) == 0
    assert "metaopt-mnist" in capsys.readouterr().out
    assert main(["bench-steps", "metaopt-mnits"]) == 2
    assert "did you mean 'metaopt-mnist'" in capsys.readouterr().err


def test_few_shot_steps_in_pytorch_come_to_the_same_weights():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from benchmarks import pytorch_few_shot

    step = replace(benchmark.FEW_SHOT_STEPS["fewshot-nudged"], network=ConvBlocks(8, 1, (3, 3), 2), queries=9)
    learner, given, key = step.learner(3), step.episode(), jax.random.key(1)
    for beta in (0.0, step.beta):
        ours = learner.minimise(learner.init(key), given.support, key, query=given.query, beta=beta).fast
        theirs = pytorch_few_shot.steps_of(learner, given, 3, beta)()
        for one, other in zip(pytorch_few_shot.as_tensors(with_omega(learner, ours)), theirs, strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-5)
    update = replace(benchmark.FEW_SHOT_STEPS["fewshot-meta-update"], step=step, tasks=2, phase=3)
    found = update.compiled(1)()
    theirs = update.eager(1)()
    for one, other in zip(pytorch_few_shot.as_tensors(found), theirs, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=2e-4 * float(np.abs(other.numpy()).max()) + 2e-5)


def with_omega(learner, weights):
    return eqx.tree_at(lambda it: it.omega, learner, weights)
