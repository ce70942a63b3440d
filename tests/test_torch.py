"""A rule in PyTorch makes the changes that it makes in metaplax."""

import copy
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metaplax as mp
from metaplax.networks import Conv, Dense, ReLU, Sequential, SquaredError, Tanh
from metaplax.plasticity import (
    BCM,
    STDP,
    CentredGradient,
    Eligibility,
    NeuronOja,
    NormalisedGradient,
    Outer,
    PseudoGradient,
    Rule,
    Sensitivity,
    StepLimit,
    SynapticScaling,
    Taught,
    Traced,
    WeightDecay,
    shared,
)
from metaplax.tasks import Examples

torch = pytest.importorskip("torch", reason="PyTorch is an extra that is not installed")
nn = torch.nn
pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(0)
FEEDBACK = {
    "symmetric": mp.feedback.Symmetric(), "random": mp.feedback.RandomFixed(), "direct": mp.feedback.Direct(),
}  # fmt: skip
POOL = (0.03, 0.01, -0.02, 0.01, 0.02, 0.003, 0.01, -0.01, 0.01, 0.02)


def mlp():
    return nn.Sequential(nn.Linear(6, 5, bias=False), nn.Softplus(10.0), nn.Linear(5, 4, bias=False))


def biased():
    return nn.Sequential(
        nn.Linear(6, 5), nn.ReLU(inplace=True), nn.Sequential(nn.Linear(5, 7), nn.Tanh()), nn.Linear(7, 4)
    )


def convolutional():
    return nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.Tanh(),
        nn.Conv2d(3, 2, 2, stride=2, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


NETWORKS = {
    mlp: mp.MLP((6, 5, 4)),
    biased: Sequential(Dense(6, 5, ReLU(), bias=True), Dense(5, 7, Tanh(), bias=True), Dense(7, 4, bias=True)),
    convolutional: Sequential(
        Conv((6, 6, 2), 3, 3, Tanh(), bias=True), Conv((4, 4, 3), 2, 2, ReLU(), stride=2),
        Dense((2, 2, 2), 4, bias=True),
    ),
}  # fmt: skip


def first(array):
    """Channels before the sides of an image, after any other axes: ``(..., height, width, channels)``."""
    return np.moveaxis(np.asarray(array), -1, -3)


def pair(make, rule, feedback="random", network=None, **options):
    """A model under the rule, and a learner of metaplax, with the same weights and feedback weights."""
    network = NETWORKS[make] if network is None else network
    learner = mp.PlasticLearner(network, rule, FEEDBACK[feedback], **options)
    state, trained = learner.init(KEY), rule.to_torch(make().double(), feedback)
    trained.load_weights(state.weights)
    if feedback == "random":
        layers = copy.deepcopy(trained.layers)
        with torch.no_grad():
            for layer, matrix in zip(layers, state.feedback, strict=True):
                layer.load(torch.tensor(np.asarray(matrix)))
        trained.feedback_weights = [layer.affine.weight.detach() for layer in layers]
    if feedback == "direct":
        shapes = [population.shape for population in network.populations]
        trained.feedback_weights = [
            torch.tensor(first(d.reshape(len(d), *shape)).reshape(len(d), -1) if len(shape) == 3 else np.asarray(d))
            for d, shape in zip(state.feedback, shapes, strict=False)
        ]
    return trained, learner, state


def batch(network, count: int, seed: int) -> Examples:
    """Positive inputs, some of them zero."""
    generator = np.random.default_rng(seed)
    x = generator.uniform(size=(count, *network.populations[0].shape))
    return Examples(jnp.asarray(x * (x > 0.3)), jnp.asarray(generator.integers(0, 4, count), jnp.int32))


def compare(trained, learner, state, count: int | None = None, steps: int = 3):
    """A few steps of both; ``count`` examples in each, or one example without an axis of batches."""
    for seed in range(steps):
        given = batch(learner.network, count or 1, seed)
        x = first(given.x) if given.x.ndim == 4 else np.asarray(given.x)
        x, y = torch.tensor(x), torch.tensor(np.asarray(given.y))
        one = jax.tree.map(lambda leaf: leaf[0], given)
        trained.step(*((x, y) if count else (x[0], y[0])))
        before, state = state, learner.update(state, given if count else one, KEY)
        for mine, its, old in zip(trained.weights(), state.weights, before.weights, strict=True):
            assert np.abs(its - old).max() > 1e-6
            np.testing.assert_allclose(mine, its, atol=1e-9, rtol=0)


def pool() -> Rule:
    return Rule(mp.rules.pool().terms, shared(POOL))


@pytest.mark.parametrize("feedback", FEEDBACK)
@pytest.mark.parametrize("make", NETWORKS)
def test_every_term_of_the_pool_online(make, feedback):
    compare(*pair(make, pool(), feedback))


@pytest.mark.parametrize("feedback", FEEDBACK)
@pytest.mark.parametrize("make", NETWORKS)
def test_a_learned_rule_in_minibatches(make, feedback):
    compare(*pair(make, mp.rules.load("shervani2023/f_bio"), feedback, minibatch=True), count=3)


def shared_per(sharing: str) -> Rule:
    """A rule with different coefficients for all that do not share one."""
    start = shared(POOL, sharing, NETWORKS[convolutional].shapes)
    keys = iter(jax.random.split(KEY, 100))
    return Rule(
        mp.rules.pool().terms, jax.tree.map(lambda leaf: leaf * jax.random.uniform(next(keys), leaf.shape), start)
    )


SINE = mp.plasticity.term("sine", lambda s: Outer(jnp.sin(s.post), jnp.where(s.pre > 0.5, s.pre, 1.0)))
RULES = {
    **{sharing: lambda sharing=sharing: shared_per(sharing) for sharing in ("layer", "neuron", "synapse")},
    "polynomial": lambda: Rule(mp.rules.taylor(2).terms, shared(np.linspace(-0.01, 0.02, 27).tolist())),
    "network": lambda: mp.rules.mlp(("pre", "post", "pre_error", "post_signal", "weight"), 4),
    "others": lambda: Rule(
        (CentredGradient(), NormalisedGradient(), NeuronOja(), Taught(NeuronOja())), shared([0.01, 0.02, 0.003, 0.004])
    ),
    "memory": lambda: Rule(
        (BCM(3.0), SynapticScaling(0.3, 5.0), Traced(PseudoGradient(), pre=2.0)), shared([0.01, 0.02, 0.03])
    ),
    "spikes": lambda: Rule((STDP(3.0, 4.0), Eligibility(Sensitivity(), 3.0, "post_signal")), shared([0.01, 0.02])),
    "limited": lambda: Rule(
        (PseudoGradient(), WeightDecay()), shared([5.0, 1.0]), gains=(1.0, 0.5, 0.3), limit=StepLimit(0.5, 0.7)
    ),
    "by layer": lambda: Rule(
        (PseudoGradient(), WeightDecay()), shared([0.1, 0.01]), ((True, True), (True, False), (False, True))
    ),
    "own": lambda: mp.rules.make([SINE]),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_rules_of_every_kind(name):
    compare(*pair(convolutional, RULES[name]()))


@pytest.mark.parametrize("name", ["synapse", "memory", "network"])
def test_rules_of_every_kind_in_minibatches(name):
    compare(*pair(convolutional, RULES[name](), minibatch=True), count=2)


def test_numbers_as_targets():
    network = mp.MLP((6, 5, 4), readout=SquaredError())
    trained, learner, state = pair(mlp, pool(), network=network)
    x, y = np.random.default_rng(0).uniform(size=(2, 6)), np.random.default_rng(1).normal(size=(2, 4))
    for k in range(2):
        outputs = trained.step(torch.tensor(x[k]), torch.tensor(y[k]))
        np.testing.assert_allclose(outputs.numpy(), network(state.weights, jnp.asarray(x[k])), atol=1e-12)
        state = learner.update(state, Examples(jnp.asarray(x[k]), jnp.asarray(y[k])), KEY)
    for mine, its in zip(trained.weights(), state.weights, strict=True):
        np.testing.assert_allclose(mine, its, atol=1e-9, rtol=0)


def padded():
    return nn.Sequential(
        nn.Conv2d(2, 3, (3, 2), padding=1, dilation=2), nn.Softplus(3.0), nn.Conv2d(3, 2, 3, stride=2, padding=(1, 0)),
        nn.Sigmoid(), nn.Flatten(), nn.Linear(8, 5), nn.Identity(), nn.Linear(5, 4),
    )  # fmt: skip


@pytest.mark.parametrize("make", [*NETWORKS, padded])
def test_the_pseudo_gradient_with_symmetric_feedback_is_the_gradient_of_autograd(make):
    rate, model = 0.1, make().double()
    other = copy.deepcopy(model)
    x = torch.rand((3, 2, 6, 6) if make in (convolutional, padded) else (3, 6), dtype=torch.float64)
    y = torch.tensor([0, 3, 1])
    nn.functional.cross_entropy(other(x), y, reduction="sum").backward()
    Rule((PseudoGradient(),), shared([rate])).to_torch(model, "symmetric").step(x, y)
    for mine, its in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, its - rate * its.grad, atol=1e-12, rtol=0)


def test_fixed_weights_are_drawn_as_glorot_uniform_and_stay():
    torch.manual_seed(0)
    trained = mp.rules.f_bio().to_torch(nn.Sequential(nn.Linear(50, 40), nn.Tanh(), nn.Linear(40, 30)), "random")
    for weight, shape in zip(trained.feedback_weights, ((40, 51), (30, 41)), strict=True):
        bound = (6 / sum(shape)) ** 0.5
        assert 0.95 * bound < weight.abs().max() <= bound
        assert abs(float(weight.mean())) < 0.1 * bound
    before = [weight.clone() for weight in trained.feedback_weights]
    trained.step(torch.rand(2, 50), torch.tensor([0, 1]))
    assert all(torch.equal(one, other) for one, other in zip(before, trained.feedback_weights, strict=True))


def test_it_learns_in_single_precision():
    torch.manual_seed(0)
    with jax.enable_x64(False):
        model = nn.Sequential(nn.Linear(20, 30), nn.Softplus(10.0), nn.Linear(30, 2))
        trained = mp.rules.load("shervani2023/f_bio").to_torch(model)
        y = torch.randint(2, (300,))
        x = (torch.rand(2, 20)[y] + 0.2 * torch.randn(300, 20)).clip(0, 1)
        for one, target in zip(x, y, strict=True):
            trained.step(one, target)
    assert model[0].weight.dtype == torch.float32
    assert float((model(x).argmax(1) == y).double().mean()) > 0.85


NOISY = mp.plasticity.term("cumsum", lambda s: Outer(jnp.cumsum(s.post), s.pre))
REWARDED = Eligibility(PseudoGradient())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: nn.Linear(6, 4), "a torch.nn.Sequential, not of a Linear"),
        (lambda: nn.Sequential(nn.Linear(6, 4), nn.Dropout()), "layer 1: Dropout is not supported, only Linear"),
        (lambda: nn.Sequential(nn.Sequential(nn.GELU())), "layer 0.0: GELU is not supported"),
        (lambda: nn.Sequential(nn.Tanh(), nn.Linear(6, 4)), "layer 0: Tanh must follow"),
        (lambda: nn.Sequential(nn.Linear(6, 4), nn.Tanh()), "must end with a Linear without an activation"),
        (lambda: nn.Sequential(nn.Conv2d(1, 1, 3)), "must end with a Linear"),
        (lambda: nn.Sequential(), "must end with a Linear"),
        (lambda: nn.Sequential(nn.Conv2d(2, 2, 3, groups=2), nn.Flatten(), nn.Linear(6, 4)), "without groups"),
        (lambda: nn.Sequential(nn.Conv2d(2, 2, 3, padding="same"), nn.Linear(6, 4)), "numbers of zeros"),
        (lambda: nn.Sequential(nn.Linear(6, 4), nn.Conv2d(2, 2, 3)), "cannot follow"),
    ],
)  # fmt: skip
def test_other_models_are_refused(model, message):
    with pytest.raises(ValueError, match=message):
        mp.rules.f_bio().to_torch(model())


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="feedback is one of symmetric, random, direct, not 'chain and direct'"):
        mp.rules.f_bio().to_torch(mlp(), "chain and direct")
    with pytest.raises(ValueError, match="does not fit a model of 2 layers with weights of shapes"):
        mp.rules.f_bio("layer", (6, 5, 4, 3)).to_torch(mlp())
    trained = mp.rules.f_bio().to_torch(mlp())
    with pytest.raises(ValueError, match=r"targets have shape \(3,\) in place of \(2,\)"):
        trained.step(torch.rand(2, 6), torch.tensor([0, 1, 1]))
    with pytest.raises(ValueError, match="do not fit a model with those of shapes"):
        trained.load_weights([np.zeros((5, 6))])
    for term, message in ((NOISY, "the operation 'cumsum', which is not known"), (REWARDED, "gated by a modulator")):
        with pytest.raises(ValueError, match=message):
            mp.rules.make([term]).to_torch(mlp()).step(torch.rand(6), torch.tensor(1))


def test_without_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install 'metaplax\[torch\]'"):
        mp.rules.f_bio().to_torch(None)


def test_the_example_with_fashion_mnist_runs(shared_data, capsys):
    from examples import fashion_mnist_in_torch  # needs PyTorch

    found = fashion_mnist_in_torch.main(["--data-dir", str(shared_data), "--images", "100"])
    assert found.keys() == {"backprop", "feedback alignment", "F_bio"}
    assert found["backprop"] > 0.15, "chance is 0.1"
    assert "after 100" in capsys.readouterr().out
