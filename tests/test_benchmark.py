"""`metaplax bench` and `python -m benchmarks` measure what they say, and the rivals compute the same numbers."""

import json
import subprocess
import sys
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.__main__ import main as benchmarks
from benchmarks.cases import STEPS
from benchmarks.floor import bandwidth, product_bytes
from metaplax.cli import main
from metaplax.cli.bench import Case, measure
from metaplax.estimators import Reversible
from metaplax.networks import ConvBlocks, ConvEncoder, EncoderMLP, MeanSquaredError, NoEncoder, SoftmaxCrossEntropy

SMALL = {"sizes": (784, 16, 12, 47), "shots": 3}


@pytest.fixture
def all_cores(monkeypatch):
    """Commands leave the cores of the test process as they are."""
    for module in ("metaplax.cli.bench", "benchmarks.steps"):
        monkeypatch.setattr(f"{module}.restrict_to_cores", lambda count: None)


@pytest.fixture
def no_torch(monkeypatch):
    """As if PyTorch were not installed."""
    for module in ("benchmarks.episode", "benchmarks.steps"):
        monkeypatch.setattr(f"{module}.HAS_TORCH", False)


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("rule", ["bp", "f_bio", "pool"])
def test_the_pytorch_loop_has_the_same_loss_and_gradient(rule, merged):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from benchmarks.rivals.online import eager_episode

    case, key = Case(rule, **SMALL), jax.random.key(3)
    eager = eager_episode(case, merged, 1, key)
    task_key, learner_key = jax.random.split(key)
    found = Reversible().value_and_grad(case.learner(), case.task().sample(task_key), learner_key)
    loss, gradient = found.loss, found.gradient
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


@pytest.mark.parametrize("episodes", [1, 3])
def test_a_measurement(episodes):
    cost = measure(Case("fa", **SMALL), Reversible(), episodes, repeats=2)
    assert (cost.estimator, cost.episodes) == ("Reversible", episodes)
    assert min(cost.cpu_seconds, cost.wall_seconds, cost.compile_seconds, cost.temporary_bytes) > 0


NETWORK = ["--rule", "fa", "--sizes", "784", "12", "47", "--shots", "2"]
WORDS = [*NETWORK, "--repeats", "1", "--episodes", "1", "2", "--estimators", "reversible", "forward"]
ROWS = [(name, count) for name in ("Reversible", "ForwardMode") for count in (1, 2)]


@pytest.mark.usefixtures("all_cores")
def test_bench(capsys):
    assert main(["bench", *WORDS, "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert [(row["estimator"], row["episodes"]) for row in found["rows"]] == ROWS
    assert found["case"]["sizes"] == [784, 12, 47]
    assert "forward, 2 episodes per launch" in said.err
    assert main(["bench", *WORDS]) == 0
    assert "ForwardMode" in capsys.readouterr().out


@pytest.mark.usefixtures("all_cores", "no_torch")
def test_the_episode_with_its_floor(capsys):
    assert benchmarks(["episode", *WORDS, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["estimator"], row["episodes"]) for row in found["rows"]] == ROWS
    assert found["pytorch"] is None
    for row in found["rows"]:
        np.testing.assert_allclose(row["floor_ratio"], row["cpu_seconds"] / found["floor_seconds"])
    assert benchmarks(["episode", *WORDS]) == 0
    assert "not installed" in capsys.readouterr().out


def test_bench_does_not_need_the_benchmarks_of_the_checkout():
    program = "import sys; sys.modules['benchmarks'] = None; import metaplax.cli.bench"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_bench_steps_says_where_it_went(capsys):
    assert main(["bench-steps"]) == 2
    assert "`python -m benchmarks steps` in a checkout" in capsys.readouterr().err


@pytest.mark.usefixtures("all_cores")
@pytest.mark.parametrize(
    "command", [lambda words: main(["bench", *words]), lambda words: benchmarks(["episode", *words])]
)
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--sizes 784", "sizes needs at least two layers"),
        ("--sizes 784 2000000000 47", "sizes asks for"),
        ("--episodes 0", "episodes must be from 1 to 1000000"),
        ("--episodes 2000000000", "episodes must be from 1 to 1000000"),
        ("--rule oja", "invalid choice"),
        ("--rule fa --sizes 784 12 8", "47 classes, but the network 8 outputs"),
    ],
)
def test_bad_input(words, sentence, command, capsys):
    assert command(words.split()) == 2
    assert sentence in capsys.readouterr().err


def test_more_cores_than_there_are(capsys):
    assert main(["bench", "--cores", "4096"]) == 2
    assert "so 4096 cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["metaopt-mnist", "metaopt-cifar10"])
def test_inner_steps_in_pytorch_have_the_same_energy_and_gradient(name):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from benchmarks.rivals import meta_optimisation as rival

    case = replace(STEPS[name], batch=10)
    learner, support = case.learner(1), case.support()
    start = learner.init(jax.random.key(1))
    fast, first = start.fast, jax.tree.map(lambda leaf: leaf[:10], support)
    expected, gradient = jax.value_and_grad(lambda fast: learner.nudged_energy(fast, start.buffers, first)[0])(fast)
    weights, x, y = rival.as_tensors(case, fast, support)
    energy = rival.energy(case, weights, x[:10], y[:10])
    energy.backward()
    np.testing.assert_allclose(float(energy.detach()), expected, rtol=1e-5)
    theirs = [tensor.detach() for tensor in rival.as_tensors(case, gradient, support)[0]]
    for found, expected_one in zip(weights, theirs, strict=True):
        np.testing.assert_allclose(found.grad, expected_one, atol=2e-4 * float(expected_one.abs().max()) + 1e-6)


def test_eprop_in_pytorch_is_the_same_gradient():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from benchmarks.rivals import eprop as rival

    case = STEPS["spiking-sinusoid"]
    weights, examples = (jax.tree.map(lambda leaf: leaf[1], part) for part in case.start())
    expected = case.direction(weights, examples)
    found = rival.direction(case, *rival.as_tensors(weights, examples))
    for one, other in zip(found, jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * float(jnp.abs(other).max()))


SMALL_STREAMS = {
    "regression-meta-step": EncoderMLP(NoEncoder((11,)), (7, 6, 1), MeanSquaredError()),
    "omniglot-meta-step": EncoderMLP(ConvEncoder(13, 1, 3, (2, 1)), (6, 9), SoftmaxCrossEntropy()),
}


@pytest.mark.parametrize("name", SMALL_STREAMS)
def test_meta_steps_in_pytorch_have_the_same_loss_and_gradient(name):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from benchmarks.rivals import streams as rival

    case = replace(STEPS[name], network=SMALL_STREAMS[name], steps=5, queries=6)
    learner, given = case.learner(), case.episode()
    # Large enough that the plasticity matters.
    larger = jax.tree.map(lambda leaf: leaf + 0.01, learner.rule.coefficients)
    learner = eqx.tree_at(lambda it: it.rule.coefficients, learner, larger)
    found = case.estimator.value_and_grad(learner, given, jax.random.key(2))
    loss, gradient = found.loss, found.gradient
    found, theirs = rival.meta_gradient(learner, given)()
    np.testing.assert_allclose(found, loss, rtol=1e-5)
    ours = [leaf for group in rival.as_tensors(gradient).values() for leaf in group]
    for one, other in zip(theirs, ours, strict=True):
        expected_one = other.detach().numpy()
        got = np.zeros_like(expected_one) if one is None else one.numpy()
        np.testing.assert_allclose(got, expected_one, atol=1e-4 * np.abs(expected_one).max() + 1e-7)


@pytest.mark.usefixtures("all_cores")
@pytest.mark.parametrize("name", ["regression-meta-step", "metaopt-mnist"])
def test_steps(name, capsys, monkeypatch):
    changes = {"network": SMALL_STREAMS[name], "steps": 3} if name in SMALL_STREAMS else {"batch": 3}
    monkeypatch.setitem(STEPS, name, replace(STEPS[name], **changes))
    words = ["steps", name, "--steps", "2", "--repeats", "1"]
    assert benchmarks([*words, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["name"], found["cpu_seconds"] > 0) == (name, True)
    assert benchmarks(words) == 0
    assert name in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["steps", "metaopt-mnits"], "did you mean 'metaopt-mnist'"),
        (["steps", "--repeats", "0"], "steps and repeats must be at least 1"),
        (["stpes"], "did you mean 'steps'"),
    ],
)
def test_bad_input_of_the_benchmarks(words, sentence, capsys):
    assert benchmarks(words) == 2
    assert sentence in capsys.readouterr().err


def test_few_shot_steps_in_pytorch_come_to_the_same_weights():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from benchmarks.rivals import few_shot as rival

    step = replace(STEPS["fewshot-nudged"], network=ConvBlocks(8, 1, (3, 3), 2), queries=9)
    learner, given, key = step.learner(3), step.episode(), jax.random.key(1)
    for nudged in (False, True):
        case = replace(step, nudged=nudged)
        ours = learner.minimise(learner.init(key), given.support, key, query=given.query, beta=case.beta).fast
        with_omega = eqx.tree_at(lambda it: it.omega, learner, ours)
        for one, other in zip(rival.as_tensors(with_omega), rival.rival(case, 3)(), strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-5)
    update = replace(STEPS["fewshot-meta-update"], step=step, tasks=2, phase=3)
    found, theirs = update.compiled(1)(), rival.meta_update_rival(update, 1)()
    for one, other in zip(rival.as_tensors(found), theirs, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=2e-4 * float(np.abs(other.numpy()).max()) + 2e-5)


def test_reward_gated_trials_in_pytorch_have_the_same_loss_and_gradient():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from benchmarks.cases import RewardGatedMetaStep
    from benchmarks.rivals import reward_gated as rival

    case = RewardGatedMetaStep(neurons=8, time=60, trials=5)
    found = case.compiled(1)()
    loss, gradient = found.loss, found.gradient
    ours = [gradient.rule.coefficients.values[0], gradient.rule.terms[0].log_tau]
    their_loss, theirs = rival.gradient(case)
    np.testing.assert_allclose(loss, their_loss, rtol=1e-5)
    np.testing.assert_allclose(ours, theirs, rtol=2e-5)


def test_every_case_has_a_rival():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from benchmarks.rivals import RIVALS

    assert {type(case) for case in STEPS.values()} <= set(RIVALS)
