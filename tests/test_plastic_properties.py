"""What holds for plastic learners whatever the numbers: constraints, constants, and equal ways to one end."""

from math import cos

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaplax as mp
from every_plastic import EXAMPLE, IMAGE, KEY, MINIBATCH, NETWORKS, RULES, STEP, Case
from metaplax.estimators import Checkpointed, Reverse, Reversible
from metaplax.estimators.reversible import why_not_reversible
from metaplax.feedback import RandomFixed, Symmetric
from metaplax.feedback.modulators import RewardPrediction
from metaplax.learners import PlasticLearner
from metaplax.networks import Conv, Dense, Sequential, Tanh
from metaplax.networks.constraints import Bounds, Dale, Norm, Sparse
from metaplax.plasticity import L1, Oja, PseudoGradient, Rule, WeightDecay, shared
from metaplax.tasks import AbstractTask, Episode, Examples


def constrained(constraint) -> PlasticLearner:
    network = Sequential(Dense(4, 5, Tanh(), constraint=constraint), Dense(5, 3, constraint=constraint))
    rule = Rule((PseudoGradient(), Oja(), WeightDecay()), shared([0.3, 0.02, 0.01]))
    return PlasticLearner(network, rule, RandomFixed())


def adapted(learner: PlasticLearner, state, support: Examples):
    return jax.jit(lambda state, support: learner.adapt(state, support, KEY))(state, support)


CONSTRAINTS = {
    "Dale": Dale(0.5),
    "sparse": Sparse(0.5),
    "sparse, then Dale": Sparse(0.5) & Dale(0.5),
    "bounds": Bounds(-0.3, 0.2),
    "norm": Norm(0.5),
    "Dale, then norm": Dale(0.5) & Norm(0.5),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraints_survive_ten_thousand_updates(name):
    learner = constrained(CONSTRAINTS[name])
    x = jax.random.normal(KEY, (10_000, 4))
    y = jax.random.randint(KEY, (10_000,), 0, 3, jnp.int32)
    start = learner.init(KEY)
    for before, after in zip(start.weights, adapted(learner, start, Examples(x, y)).weights, strict=True):
        before, after = np.asarray(before), np.asarray(after)
        assert np.isfinite(after).all()
        assert np.any(after != before)
        if "Dale" in name:
            signs = np.asarray(Dale(0.5).signs(after.shape[1]))
            assert not np.any(signs * after < 0)
            assert not np.any(signs * before < 0)
        if "sparse" in name:
            absent = ~Sparse(0.5).mask(after.shape)
            assert absent.any()
            assert not after[absent].any()
            assert not before[absent].any()
            assert np.any(after[~absent])
        if "norm" in name:
            assert np.all(np.linalg.norm(after, axis=1) <= 0.5 * (1 + 1e-6))
        if name == "bounds":
            assert after.min() >= np.float32(-0.3)
            assert after.max() <= np.float32(0.2)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ["sparse", "Dale"])
def test_constrained_weights_have_an_exact_meta_gradient(name):
    learner, episode = constrained(CONSTRAINTS[name]), Case("MLP").episode()
    episode = jax.tree.map(lambda leaf: jnp.pad(leaf, ((0, 0), (0, 1))) if leaf.ndim == 2 else leaf, episode)
    reason = why_not_reversible(learner, episode, KEY)
    assert (reason is None) == (name == "sparse")
    estimates = [
        jax.jit(lambda episode, it=it: it.value_and_grad(learner, episode, KEY))(episode)
        for it in (Reversible() if reason is None else Checkpointed(), Reverse())
    ]
    assert_close(*estimates)
    assert np.any(estimates[0].gradient.rule.coefficients.values)


@pytest.mark.parametrize("name", ["sparse", "Dale"])
def test_a_start_that_is_meta_learned_keeps_the_constraints(name):
    constraint, network = CONSTRAINTS[name], constrained(CONSTRAINTS[name]).network
    free = tuple(jax.random.normal(KEY, shape) for shape in network.shapes)
    learner = PlasticLearner(network, RULES["gradient"](), RandomFixed(), start=free)
    for weight, given in zip(learner.init(KEY).weights, free, strict=True):
        np.testing.assert_array_equal(weight, constraint(given))
        np.testing.assert_array_equal(constraint(weight), weight)


class Given(AbstractTask):
    """The same episode every time."""

    episode: Episode

    def sample(self, key):
        return self.episode


def test_what_is_held_is_the_same_to_the_bit_after_meta_training():
    rule = RULES["F_bio"]().hold("2", "9")
    case = Case("MLP")
    learner = PlasticLearner(NETWORKS["MLP"], rule, RandomFixed(), penalty=L1(1e-2))
    optimizer = optax.adamw(1e-2, weight_decay=0.1)
    trained = mp.meta_train(learner, Given(case.episode()), Reverse(), optimizer, 5, key=KEY)
    before, after = learner.rule, trained.mean().rule
    assert before.coefficient(1, 0) != after.coefficient(1, 0)
    for k in (1, 2):
        assert np.asarray(before.coefficient(1, k)).tobytes() == np.asarray(after.coefficient(1, k)).tobytes()
    assert not np.any(np.asarray(after.coefficients.values)[1:])


def pool() -> Rule:
    """All terms of all rules in one."""
    terms = {term.name: term for make in RULES.values() for term in make().terms}
    return Rule(tuple(terms.values()), shared([0.05 * cos(k) for k in range(len(terms))]))


def pooled(network, **more) -> PlasticLearner:
    return PlasticLearner(network, pool(), RandomFixed(), modulator=RewardPrediction(2.0), **more)


def assert_close(found, expected) -> None:
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12), found, expected)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "name",
    [
        "fast beside slow synapses, summed",
        "convolutional",
        "locally connected",
        "rate RNN, leak of activity",
        "ALIF RNN",
    ],
)
def test_a_batch_of_one_is_a_single_example(name):
    network = NETWORKS[name]
    support = Case(name).episode().support
    batches = jax.tree.map(lambda leaf: leaf[:, None], support)
    single, batch = pooled(network), pooled(network, minibatch=True)
    assert_close(adapted(batch, batch.init(KEY), batches), adapted(single, single.init(KEY), support))


@pytest.mark.usefixtures("x64")
def test_a_convolution_as_large_as_the_image_is_a_dense_layer():
    wide = Sequential(Conv(IMAGE, 4, 3, Tanh(), bias=True), Dense((1, 1, 4), 3))
    dense = Sequential(Dense(IMAGE, 4, Tanh(), bias=True), Dense(4, 3))
    support = Case("convolutional").episode().support
    found, expected = (adapted(it, it.init(KEY), support).weights for it in map(pooled, (wide, dense)))
    assert_close(found, expected)


@pytest.mark.usefixtures("x64")
def test_locally_connected_neurons_with_the_same_weights_are_a_convolution():
    conv, local = NETWORKS["convolutional"], NETWORKS["locally connected"]
    shared_one, readout = conv.init(KEY)
    shared_one = shared_one.at[:, -1].set(0.1)
    count = local.connections[0].wiring.positions
    weights = (shared_one, readout), (jnp.tile(shared_one, (count, 1)), readout)
    one = Case("convolutional").episode().support.take(slice(0, 1))
    found = []
    for network, given in zip((conv, local), weights, strict=True):
        learner = PlasticLearner(network, pool(), Symmetric(), modulator=RewardPrediction(2.0), start=given)
        after = adapted(learner, learner.init(KEY), one).weights
        found.append(jax.tree.map(jnp.subtract, after, given))
    (shared_change, readout_change), (separate, other_readout) = found
    assert_close(jnp.sum(separate.reshape(count, *shared_change.shape), axis=0), shared_change)
    assert_close(other_readout, readout_change)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "case",
    [
        Case("convolutional", "Noisy", "STDP", MINIBATCH),
        Case("ALIF RNN", "Noisy", "eligibility × reward", EXAMPLE),
        Case("LIF RNN", "Noisy", "BCM", STEP),
    ],
    ids=str,
)
def test_vmap_equals_a_loop(case):
    episode, learner = case.episode(), case.make()
    keys = jax.random.split(KEY, 3)
    run = lambda key: learner.run(episode, key)[0]  # noqa: E731
    one = jax.jit(run)
    assert_close(jax.jit(jax.vmap(run))(keys), jnp.stack([one(key) for key in keys]))


def test_a_step_that_is_not_scored_brings_no_reward():
    case = Case("rate RNN, leak of potential", rule="eligibility × reward", when=STEP)
    learner = PlasticLearner(
        NETWORKS[case.network],
        RULES[case.rule](),
        RandomFixed(),
        modulator=RewardPrediction(2.0),
        scored=1,
        every_step=True,
    )
    support = case.episode().support
    other = Examples(support.x, support.y.at[:, :-1].add(1.0))
    start = learner.init(KEY)
    found, expected = (adapted(learner, start, examples) for examples in (other, support))
    jax.tree.map(np.testing.assert_array_equal, found.weights, expected.weights)
    np.testing.assert_array_equal(found.modulator, expected.modulator)
    assert np.any(found.weights[0] != start.weights[0])
