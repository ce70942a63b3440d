"""Few-shot learning: its episodes, its network, and the ways of learning to learn it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaplax.data import ImageSet
from metaplax.estimators import Contrastive, Reptile, Reverse, Truncated
from metaplax.estimators.contrastive import energy_at
from metaplax.learners import (
    ComplexSynapse,
    Descent,
    GainModulation,
    IncompatibleError,
    MetaRegularised,
    join,
    split,
)
from metaplax.networks import ConvBlocks, EquinoxNetwork, FastReadout, SoftmaxCrossEntropy, TemplateBlocks
from metaplax.networks._kernels import MANY, pool
from metaplax.networks.conv_blocks import Block
from metaplax.optim import averaged_params, polyak_average
from metaplax.tasks import Episode, Examples, FewShot

KEY = jax.random.key(2)


def images(classes=6, each=8, side=4) -> ImageSet:
    """Pixels say which image of which class it is; the first pixel is marked."""
    pixels = np.zeros((classes * each, side, side), np.uint8)
    pixels[:, 1, 1] = np.repeat(np.arange(classes), each) + 1
    pixels[:, 2, 2] = np.tile(np.arange(each), classes) + 1
    pixels[:, 0, 0] = 255
    return ImageSet("marked", pixels, np.repeat(np.arange(classes), each), tuple(map(str, range(classes))))


def test_images_of_an_episode_differ_and_are_numbered_by_class():
    task = FewShot(images(), 3, 2, 4)
    for n in range(5):
        episode = task.sample(jax.random.fold_in(KEY, n))
        assert episode.support.x.shape == (6, 4, 4, 1)
        np.testing.assert_array_equal(episode.support.y, [0, 0, 1, 1, 2, 2])
        np.testing.assert_array_equal(episode.query.y, np.repeat([0, 1, 2], 4))
        both = np.concatenate([episode.support.x, episode.query.x])
        assert len({(image[1, 1, 0].item(), image[2, 2, 0].item()) for image in both}) == 18
        # Classes are the same in both parts.
        np.testing.assert_array_equal(episode.support.x[::2, 1, 1, 0], episode.query.x[::4, 1, 1, 0])


def test_turned_classes_are_further_ones():
    task = FewShot(images(classes=2), 8, 1, 2, rotations=True)
    episode = task.sample(KEY)
    corners = np.asarray(episode.query.x)[:, [0, 0, 3, 3], [0, 3, 3, 0], 0]
    turns = corners.argmax(1).reshape(8, 2)
    np.testing.assert_array_equal(turns[:, 0], turns[:, 1])
    assert sorted(turns[:, 0].tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_pixels_are_standardised():
    plain, other = (FewShot(images(), 2, 1, 1, **more).sample(KEY) for more in ({}, {"mean": (0.5,), "std": (0.25,)}))
    np.testing.assert_allclose(other.query.x, (plain.query.x - 0.5) / 0.25, rtol=1e-5)


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ((0, 1, 1), "ways must be at least 1"),
        ((2, 1, 0), "queries must be at least 1"),
        ((7, 1, 1), "6 classes, too few for 7"),
        ((2, 5, 4), "has only 8 images"),
    ],
)
def test_impossible_episodes(sizes, says):
    with pytest.raises(ValueError, match=says):
        FewShot(images(), *sizes)


@pytest.mark.parametrize(
    ("network", "parameters"),
    # As published, without the biases of convolutions: 4 layers of 64 or 32.
    [
        (ConvBlocks(), 112_261 - 256),
        (ConvBlocks(outputs=20), 113_236 - 256),
        (ConvBlocks(84, 3, (32,) * 4), 32_901 - 128),
    ],
)
def test_sizes_of_published_networks(network, parameters):
    weights = jax.eval_shape(network.init, KEY)[0]
    assert sum(leaf.size for leaf in jax.tree.leaves(weights)) == parameters


def test_blocks_of_different_widths():
    network = ConvBlocks(channels=(8, 16, 32, 64))
    kernels = [block.kernel.shape for block in jax.eval_shape(network.init, KEY)[0][:-1]]
    assert kernels == [(3, 3, 1, 8), (3, 3, 8, 16), (3, 3, 16, 32), (3, 3, 32, 64)]
    for channels in ((), (4, 0)):
        with pytest.raises(ValueError, match="there must be a block, and each must have a channel"):
            ConvBlocks(channels=channels)


def reference(weights, x):
    """The network in operations of XLA's own."""
    *blocks, readout = weights
    for block in blocks:
        x = jax.lax.conv_general_dilated(x, block.kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = (x - x.mean((0, 1, 2), keepdims=True)) / jnp.sqrt(x.var((0, 1, 2), keepdims=True) + 1e-5)
        x = jax.nn.relu(x * block.scale[None, None, None] + block.shift[None, None, None])
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return x.reshape(len(x), -1) @ readout.weight + readout.bias[None]


@pytest.mark.parametrize(("side", "channels_in"), [(7, 2), (8, 2), (8, 1)])
def test_blocks_compute_what_they_say(x64, side, channels_in):
    # The first block has odd sides, or too many numbers per patch for their moments, or few; the second ones Winograd.
    network = ConvBlocks(side, channels_in, (MANY, MANY), 4)
    weights, buffers = network.init(KEY)
    # Scales of both signs: which number of a window is the largest depends on it.
    weights = jax.tree.map(lambda leaf: leaf + 0.7 * jax.random.normal(KEY, leaf.shape), weights)
    x, along = jax.random.normal(KEY, (5, side, side, channels_in)), jax.tree.map(jnp.cos, weights)

    def loss(function):
        slope = jax.value_and_grad(lambda weights: jnp.sum(jnp.sin(function(weights))))
        return jax.jit(lambda weights: jax.jvp(slope, (weights,), (along,)))(weights)

    found = loss(lambda weights: network(weights, buffers, x, training=False)[0])
    expected = loss(lambda weights: reference(weights, x))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_ties_share_the_derivative():
    windows = jnp.array([[1.0, 3.0], [3.0, 2.0], [3.0, 5.0]])
    largest, slope = jax.value_and_grad(lambda windows: jnp.sum(jnp.array([1.0, 10.0]) * pool(windows, (0,))))(windows)
    assert largest == 3.0 + 50.0
    np.testing.assert_allclose(slope, [[0.0, 0.0], [0.5, 0.0], [0.5, 10.0]])


def test_too_many_poolings():
    with pytest.raises(ValueError, match="cannot be halved 4 times"):
        ConvBlocks(12)


BLOCKS = ConvBlocks(8, 1, (3, 3), 2)
NETWORKS = {"all": BLOCKS, "readout": FastReadout(BLOCKS, KEY), "templates": TemplateBlocks(BLOCKS, 4, KEY)}


def synapse(network, strength=0.5, steps=4, rate=0.05, **more) -> ComplexSynapse:
    return ComplexSynapse(
        network,
        SoftmaxCrossEntropy(),
        Descent(optax.sgd(rate), steps),
        strength,
        log_space=False,
        learn_strength=False,
        key=KEY,
        **more,
    )


def few(count, key=KEY) -> Examples:
    return Examples(jax.random.normal(key, (count, 8, 8, 1)), jnp.arange(count, dtype=jnp.int32) % 2)


@pytest.fixture
def episode(x64) -> Episode:
    return Episode(few(4), few(6, jax.random.key(9)))


def flat(tree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


@eqx.filter_jit
def valued(estimator, learner, episode):
    """An estimator's loss and metrics, and gradient, in one program."""
    return estimator.value_and_grad(learner, episode, KEY)


@eqx.filter_jit
def settled(learner, support, query=None, beta=0.0):
    """Where a learner settles from its start, nudged or not."""
    return learner.minimise(learner.init(KEY), support, KEY, query=query, beta=beta)


def test_which_parts_are_slow():
    sizes = {name: sum(leaf.size for leaf in jax.tree.leaves(it.init(KEY)[0])) for name, it in NETWORKS.items()}
    assert sizes == {"all": (27 + 6) + (81 + 6) + 26, "readout": 26, "templates": 4 + 12 + 26}
    learners = {name: synapse(NETWORKS[name]) for name in NETWORKS}
    assert {name: it.trains_network for name, it in learners.items()} == {
        "all": False,
        "readout": True,
        "templates": True,
    }
    drawn = learners["templates"].resample(jax.random.key(5))
    assert not np.array_equal(drawn.network.templates, NETWORKS["templates"].templates)
    gram = np.asarray(drawn.network.templates).reshape(4, -1)
    np.testing.assert_allclose(gram @ gram.T, np.eye(4), atol=1e-5)


@pytest.mark.parametrize("blocks", [BLOCKS, ConvBlocks(8, 1, (4, 2), 2)], ids=["alike", "narrowing"])
def test_templates_make_the_kernels_they_say(x64, blocks):
    network = TemplateBlocks(blocks, 4, KEY)
    weights, _ = network.init(KEY)
    x = few(5).x
    kernels = [
        sum(jnp.einsum("orc,i->rcio", network.templates[k, :width], c[k]) for k in range(4))
        for width, c in zip(blocks.channels, weights.coefficients, strict=True)
    ]
    parts = zip(kernels, network.scales, network.shifts, strict=True)
    whole = (*(Block(*part) for part in parts), weights.readout)
    np.testing.assert_allclose(network(weights, (), x, True)[0], blocks(whole, (), x, True)[0], rtol=1e-10)


def test_the_contrast_of_complex_synapses_has_a_closed_form(episode):
    """Spec of the published code: the half form, ``strength (fast_- - fast_+) / (2 beta)``."""
    learner, beta = synapse(BLOCKS), 0.3
    found = valued(Contrastive(beta, "symmetric"), learner, episode).gradient
    free = settled(learner, episode.support)
    nudge = jax.jit(lambda beta: learner.minimise(free, episode.support, KEY, query=episode.query, beta=beta).fast)
    phases = [nudge(b) for b in (beta, -beta)]
    expected = 0.5 * (flat(phases[1]) - flat(phases[0])) / (2 * beta)
    np.testing.assert_allclose(flat(found.omega), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["mean", "templates", "modulated"])
def test_partial_derivatives_are_those_of_the_nudged_energy(x64, kind):
    """Closed forms where the energy has them; where slow weights compute, the whole nudged energy."""
    dense = EquinoxNetwork(lambda key: eqx.nn.MLP(4, 2, 3, 1, jnp.tanh, key=key))
    learner = {
        "mean": lambda: synapse(BLOCKS, 1000.0, reduction="mean", factor=1.0),
        "templates": lambda: synapse(NETWORKS["templates"]),
        "modulated": lambda: GainModulation(
            dense, SoftmaxCrossEntropy(), Descent(optax.sgd(0.1), 3), learn_start=True, strength=0.4, key=KEY
        ),
    }[kind]()
    both = Episode(few(4), few(6, jax.random.key(9)))
    if kind == "modulated":
        both = jax.tree.map(lambda leaf: leaf[:, :4, 0, 0] if leaf.ndim == 4 else leaf, both)
    state = settled(learner, both.support, both.query, 0.2)
    parameters, constants = split(learner)
    partial = lambda parameters: energy_at(join(parameters, constants), state, both, 0.2)  # noqa: E731
    felt = eqx.filter_jit(jax.grad(partial))(parameters)

    def nudged_energy(parameters):
        return join(parameters, constants).nudged_energy(state.fast, state.buffers, both.support, both.query, 0.2)[0]

    np.testing.assert_allclose(
        flat(felt), flat(eqx.filter_jit(jax.grad(nudged_energy))(parameters)), rtol=1e-9, atol=1e-12
    )
    size = flat(state.fast).size
    if kind == "mean":
        expected = 2 * 1000.0 / size * (flat(learner.omega) - flat(state.fast))
        np.testing.assert_allclose(flat(felt.omega), expected, rtol=1e-9, atol=1e-12)


def test_starts_of_modulated_parts_are_learned_if_asked(x64):
    network = EquinoxNetwork(lambda key: eqx.nn.MLP(4, 2, 3, 1, jnp.tanh, key=key))
    both = Episode(*(Examples(few(n).x[:, :4, 0, 0], few(n).y) for n in (4, 6)))
    for learned in (False, True):
        learner = GainModulation(
            network, SoftmaxCrossEntropy(), Descent(optax.sgd(0.1), 3), learn_start=learned, strength=0.4, key=KEY
        ).resample(jax.random.key(3))
        moved = jax.tree.map(lambda leaf: leaf + 0.1, learner.begin(KEY)[0])
        np.testing.assert_allclose(learner.regulariser(moved), 0.5 * 0.4 * 0.01 * flat(moved).size)
        gradient = valued(Contrastive(0.1), learner, both).gradient
        assert (gradient.start is not None) == learned
        if learned:
            assert np.abs(flat(gradient.start.head)).min() > 0
            assert np.abs(flat(gradient.start.gains)).min() > 0


def test_first_order_maml_is_the_gradient_at_the_end(episode):
    learner = synapse(BLOCKS, 0.0)
    gradient = valued(Truncated(0, reach_start=True), learner, episode).gradient
    end = settled(learner, episode.support)
    expected = jax.jit(jax.grad(lambda fast: learner.inner_loss(fast, (), episode.query, True)[0]))(end.fast)
    np.testing.assert_allclose(flat(gradient.omega), flat(expected), rtol=1e-9, atol=1e-12)


def test_maml_differs_from_first_order_maml_by_second_derivatives(episode):
    learner = synapse(BLOCKS, 0.0, steps=1, rate=0.02)
    exact = flat(valued(Reverse(), learner, episode).gradient.omega)
    first = valued(Truncated(0, reach_start=True), learner, episode).gradient.omega
    slope = jax.grad(lambda fast: learner.inner_loss(fast, (), episode.support, True)[0])
    curved = jax.jit(lambda along: jax.jvp(slope, (learner.omega,), (along,))[1])(first)
    np.testing.assert_allclose(exact, flat(first) - 0.02 * flat(curved), rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("with_query", [True, False])
def test_reptile_goes_to_where_tasks_end(episode, with_query):
    learner = synapse(BLOCKS, 0.0)
    found = valued(Reptile(with_query), learner, episode)
    both = jax.tree.map(lambda *parts: jnp.concatenate(parts), episode.support, episode.query)
    examples = both if with_query else episode.support
    end = settled(learner, examples)
    np.testing.assert_allclose(flat(found.gradient.omega), flat(learner.omega) - flat(end.fast), rtol=1e-10, atol=1e-13)
    scored = settled(learner, episode.support)
    np.testing.assert_allclose(found.loss, learner.evaluate(scored, episode.query)[0], rtol=1e-10)


def test_reptile_needs_a_start_that_is_learned():
    learner = MetaRegularised(BLOCKS, SoftmaxCrossEntropy(), Descent(optax.sgd(0.1), 2), key=KEY)
    with pytest.raises(IncompatibleError, match="not meta-learned"):
        Reptile().check(learner, Episode(few(4), few(6)))
    Reptile().check(synapse(BLOCKS), Episode(few(4), few(6)))


def test_truncated_backprop_needs_steps_or_a_start():
    with pytest.raises(ValueError, match="not 0"):
        Truncated(0)


@pytest.mark.parametrize("restart_every", [None, 4])
def test_the_average_is_that_of_all_iterates(restart_every):
    average = polyak_average(3, restart_every)
    parameters = jnp.asarray(0.0)
    state = average.init(parameters)
    seen = []
    for n in range(14):
        update = jnp.asarray(float(n % 5) - 1)
        same, state = average.update(update, state, parameters)
        assert same is update
        parameters = parameters + update
        seen.append(float(parameters))
        if n < 3:
            np.testing.assert_allclose(averaged_params(state), parameters)
    counted = seen[3:]
    if restart_every is None:
        expected = np.mean(counted)
    else:
        # The published code: an epoch's average counts the one before it as one number.
        expected = np.mean(counted[:4])
        for first in (4, 8):
            part = counted[first : first + 4]
            expected = (expected + sum(part)) / (1 + len(part))
    np.testing.assert_allclose(averaged_params(state), expected, rtol=1e-6)


def test_an_average_in_a_chain_is_found():
    optimizer = optax.chain(optax.sgd(0.1), polyak_average(0))
    assert averaged_params(optimizer.init(jnp.ones(2))) is not None
    assert averaged_params(optax.sgd(0.1).init(jnp.ones(2))) is None
    with pytest.raises(ValueError, match="cannot start"):
        polyak_average(-1)
