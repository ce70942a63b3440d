"""From sequential Equinox modules to networks, and back."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metaplax as mp
from metaplax.learners import IncompatibleError, from_equinox, into_equinox, plasticity_optimizer
from metaplax.networks import MLP, Convolution, Dense, Full, Recurrent, ReLU, Sequential, Softplus

KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 8)
RAVEL = eqx.nn.Lambda(jnp.ravel)
ACTIVATIONS = [jax.nn.relu, jnp.tanh, jax.nn.softplus, Softplus(), ReLU()]


def equinox_mlp(*, sizes=(5, 3), depth=2, **options):
    options = {"use_bias": False, "use_final_bias": False} | options
    return eqx.nn.MLP(*sizes, 4, depth, key=KEY, **options)


def linear(inputs, outputs, key=KEYS[0], **options):
    return eqx.nn.Linear(inputs, outputs, key=key, **options)


def conv(inputs, outputs, kernel, key=KEYS[1], **options):
    return eqx.nn.Conv2d(inputs, outputs, kernel, key=key, **options)


def sequential(*layers):
    return eqx.nn.Sequential([it if isinstance(it, eqx.Module) else eqx.nn.Lambda(it) for it in layers])


DENSE = {
    "one layer": lambda: sequential(linear(5, 3)),
    "a layer by itself": lambda: linear(5, 3),
    "activations of all kinds": lambda: sequential(
        linear(5, 6), jax.nn.relu, linear(6, 4, use_bias=False), jnp.tanh, linear(4, 7), jax.nn.softplus, linear(7, 4),
        eqx.nn.Lambda(Softplus()), linear(4, 3, use_bias=False),
    ),
    "no activation": lambda: sequential(
        linear(5, 4), linear(4, 4), eqx.nn.Identity(), lambda x: x, linear(4, 3), jax.nn.identity
    ),
    "flattening of vectors": lambda: sequential(RAVEL, linear(5, 4), jax.nn.relu, RAVEL, linear(4, 3), RAVEL),
    "one inside of another": lambda: sequential(
        sequential(linear(5, 4), jnp.tanh), sequential(sequential(linear(4, 4)), jax.nn.relu), linear(4, 3)
    ),
    "an MLP inside": lambda: sequential(equinox_mlp(sizes=(5, 4), final_activation=jnp.tanh), linear(4, 3)),
    "an MLP with other biases at its end": lambda: equinox_mlp(use_final_bias=True),
    "an MLP without activation": lambda: equinox_mlp(activation=lambda x: x),
}  # fmt: skip
CONVOLUTIONAL = {
    "one convolution": lambda: sequential(conv(2, 3, 3), jax.nn.relu, RAVEL, linear(3 * 5 * 6, 4)),
    "flattened before the activation": lambda: sequential(
        conv(2, 3, 3, use_bias=False), RAVEL, jnp.tanh, linear(90, 4, use_bias=False)
    ),
    "two convolutions": lambda: sequential(
        conv(2, 3, 2, padding="VALID"), jax.nn.softplus, conv(3, 4, 3, KEYS[2], stride=2, use_bias=False), jnp.tanh,
        lambda x: x.reshape(-1), linear(4 * 2 * 3, 6), jax.nn.relu, linear(6, 5, KEYS[3]),
    ),
    "one pixel": lambda: sequential(conv(2, 3, 1), lambda x: x, conv(3, 2, 1, KEYS[2]), RAVEL, linear(112, 4)),
    "an MLP behind": lambda: sequential(conv(2, 3, 3, stride=2), jax.nn.relu, RAVEL, eqx.nn.MLP(27, 4, 8, 2, key=KEY)),
}  # fmt: skip
"""Modules that take images of 2 channels, 7 by 8 pixels."""
MODULES = {name: (make, None) for name, make in DENSE.items()} | {
    name: (make, (7, 8)) for name, make in CONVOLUTIONAL.items()
}


def inputs_of(image):
    return jax.random.normal(KEY, (4, 5) if image is None else (4, 2, *image))


def assert_same(module, network, weights, image):
    x = inputs_of(image)
    seen = x if image is None else jnp.moveaxis(x, 1, -1)
    outputs = jax.vmap(lambda x: network(weights, x))(seen)
    np.testing.assert_allclose(outputs, jax.vmap(module)(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_from_equinox_computes_the_same(activation, depth):
    mlp = equinox_mlp(activation=activation, depth=depth)
    network, weights = from_equinox(mlp)
    assert network.sizes == (5, *[4] * depth, 3)
    x = jnp.linspace(-1.0, 2.0, 5)
    np.testing.assert_allclose(network.forward(weights, x).logits, mlp(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_biases_are_the_last_column(activation, depth):
    mlp = equinox_mlp(activation=activation, depth=depth, use_bias=True, use_final_bias=True)
    network, weights = from_equinox(mlp)
    assert isinstance(network, MLP)
    assert network.bias
    assert network.sizes == (5, *[4] * depth, 3)
    assert network.shapes == tuple(weight.shape for weight in weights)
    assert jnp.array_equal(weights[-1][:, -1], mlp.layers[-1].bias)
    assert_same(mlp, network, weights, None)


@pytest.mark.parametrize("name", MODULES)
def test_sequential_modules_compute_the_same_and_go_back(name):
    make, image = MODULES[name]
    module = make()
    network, weights = from_equinox(module, image)
    assert isinstance(network, Sequential)
    assert network.shapes == tuple(weight.shape for weight in weights)
    assert_same(module, network, weights, image)
    moved = tuple(weight + 0.1 * jnp.cos(jnp.arange(weight.size)).reshape(weight.shape) for weight in weights)
    changed = into_equinox(moved, module)
    assert jax.tree.structure(changed) == jax.tree.structure(module)
    assert_same(changed, network, moved, image)
    assert eqx.tree_equal(from_equinox(changed, image)[1], moved)
    assert eqx.tree_equal(into_equinox(weights, changed), module)


def test_a_convolution_keeps_its_layout():
    network, _ = from_equinox(CONVOLUTIONAL["two convolutions"](), (7, 8))
    first, second, third, last = (connection.wiring for connection in network.connections)
    assert first == Convolution((7, 8, 2), 3, 2, 1, True)
    assert second == Convolution((6, 7, 3), 4, 3, 2, False)
    assert third == Full((2, 3, 4), 6, True)
    assert last == Full(6, 5, True)


def test_a_module_learns_by_a_plasticity_rule():
    module = CONVOLUTIONAL["one convolution"]()
    network, start = from_equinox(module, (7, 8))
    learner = mp.PlasticLearner(network, mp.rules.f_bio(), start=start)
    images = jnp.moveaxis(inputs_of((7, 8)), 1, -1)
    support = mp.tasks.Examples(images, jnp.array([0, 1, 2, 3]))
    final = learner.adapt(learner.init(KEY), support, KEY)
    changed = into_equinox(final.weights, module)
    assert not eqx.tree_equal(changed, module)
    assert_same(changed, network, final.weights, (7, 8))


def test_an_optimiser_for_a_module_with_convolutions():
    network, weights = from_equinox(CONVOLUTIONAL["one convolution"](), (7, 8))
    optimizer = plasticity_optimizer(network, mp.rules.f_bio(), mp.feedback.Symmetric())
    image = jnp.moveaxis(inputs_of((7, 8))[0], 0, -1)
    updates, _ = optimizer.update(image, 2, optimizer.init(weights, KEY), weights)
    start = mp.PlasticLearner(network, mp.rules.f_bio(), mp.feedback.Symmetric(), start=weights)
    expected = start.update(start.init(KEY), mp.tasks.Examples(image, jnp.array(2)), KEY)
    for old, change, new in zip(weights, updates, expected.weights, strict=True):
        np.testing.assert_allclose(old + change, new, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("network", "terms", "message"),
    [
        (Sequential(Recurrent(5, 4), Dense(4, 3)), [mp.plasticity.Hebb()], "this network takes sequences"),
        (MLP((5, 4)), [mp.plasticity.BCM()], "keeps no memory"),
    ],
)
def test_an_optimiser_refuses_what_has_to_remember(network, terms, message):
    with pytest.raises(IncompatibleError, match=message):
        plasticity_optimizer(network, mp.rules.make(terms)).init(network.init(KEY), KEY)


def test_from_equinox_inside_of_a_compiled_function():
    mlp = equinox_mlp()
    weights = eqx.filter_jit(lambda tree: from_equinox(tree)[1])(mlp)
    assert eqx.tree_equal(weights, from_equinox(mlp)[1])


def test_a_convolution_inside_of_a_compiled_function():
    module = CONVOLUTIONAL["two convolutions"]()
    weights = eqx.filter_jit(lambda tree: from_equinox(tree, (7, 8))[1])(module)
    assert eqx.tree_equal(weights, from_equinox(module, (7, 8))[1])


def test_into_equinox_and_back():
    mlp = equinox_mlp()
    weights = tuple(2 * w for w in from_equinox(mlp)[1])
    assert eqx.tree_equal(from_equinox(into_equinox(weights, mlp))[1], weights)
    with pytest.raises(IncompatibleError, match="do not fit an MLP"):
        into_equinox(weights[:2], mlp)
    with pytest.raises(IncompatibleError, match="do not fit a module"):
        into_equinox(weights, DENSE["one layer"]())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": jax.nn.gelu}, "activation gelu is not supported"),
        ({"activation": eqx.nn.PReLU()}, "is not supported"),
        ({"final_activation": jax.nn.sigmoid}, "must be logits"),
        ({"final_activation": jax.nn.relu}, "must be logits"),
        ({"final_activation": eqx.nn.PReLU(1.0)}, "must be logits"),
        ({"sizes": ("scalar", 3)}, "use vectors"),
        ({"sizes": (5, "scalar")}, "use vectors"),
        ({"scan": True}, "scan=True"),
    ],
)
def test_from_equinox_refuses_what_it_cannot_do(options, message):
    with pytest.raises(IncompatibleError, match=message):
        from_equinox(equinox_mlp(**options))


@pytest.mark.parametrize(
    ("module", "image", "message"),
    [
        (lambda: sequential(conv(2, 3, 3), eqx.nn.MaxPool2d(2)), (7, 8), "layer 2: MaxPool2d is not supported"),
        (lambda: sequential(linear(5, 4), eqx.nn.Dropout(), linear(4, 3)), None, "layer 2: Dropout is not supported"),
        (lambda: sequential(eqx.nn.LayerNorm(5), linear(5, 3)), None, "layer 1: LayerNorm is not supported"),
        (lambda: sequential(eqx.nn.BatchNorm(5, "b", mode="batch"), linear(5, 3)), None, "BatchNorm is not supported"),
        (lambda: sequential(eqx.nn.GRUCell(5, 4, key=KEY), linear(4, 3)), None, "layer 1: GRUCell is not supported"),
        (lambda: sequential(sequential(linear(5, 4), eqx.nn.PReLU()), linear(4, 3)), None, r"layer 1\.2: PReLU is not"),
        (lambda: sequential(eqx.nn.Conv1d(2, 3, 3, key=KEY), RAVEL, linear(9, 3)), None, "Conv1d is not supported"),
        (lambda: eqx.nn.GRUCell(5, 4, key=KEY), None, "the module: GRUCell is not supported"),
        (lambda: sequential(linear(5, 4), jax.nn.gelu, linear(4, 3)), None, "layer 2: the activation gelu is not"),
        (lambda: sequential(linear(5, 4), jax.nn.relu, jnp.tanh, linear(4, 3)), None, "layer 3: a nonlinearity must"),
        (lambda: sequential(jnp.tanh, linear(5, 3)), None, "layer 1: a nonlinearity must follow"),
        (lambda: sequential(linear(5, 3), jax.nn.softmax), None, "layer 2: the outputs must be logits"),
        (lambda: sequential(linear(5, 3), jnp.tanh), None, "layer 2: the outputs must be logits"),
        (lambda: sequential(linear("scalar", 3)), None, 'layer 1: "scalar" inputs'),
        (lambda: sequential(linear(5, 4), linear(4, "scalar")), None, 'layer 2: "scalar" inputs'),
        (lambda: sequential(linear(5, 4), linear(5, 3)), None, r"layer 2: Linear takes vectors of 5 numbers, not"),
        (lambda: sequential(jnp.tanh), None, "neither Linear nor Conv2d"),
        (lambda: linear(5, 3), (7, 8), r"Linear takes vectors, so leave out image=\(7, 8\)"),
        (lambda: sequential(conv(2, 3, 3), RAVEL, linear(90, 3)), None, r"layer 1: .* image=\(height, width\)"),
        (lambda: sequential(conv(2, 3, 3), RAVEL, linear(90, 3)), (2, 7, 8), r"image=\(height, width\)"),
        (lambda: sequential(conv(2, 3, 3, padding=1), RAVEL, linear(168, 3)), (7, 8), "layer 1: .* without padding"),
        (lambda: sequential(conv(2, 3, 3, padding="SAME"), RAVEL, linear(168, 3)), (7, 8), "without padding"),
        (lambda: sequential(conv(2, 3, (3, 2)), RAVEL, linear(105, 3)), (7, 8), "square kernels"),
        (lambda: sequential(conv(2, 3, 3, stride=(1, 2)), RAVEL, linear(45, 3)), (7, 8), "square kernels and strides"),
        (lambda: sequential(conv(2, 3, 3, dilation=2), RAVEL, linear(36, 3)), (7, 8), "layer 1: .* dilation or groups"),
        (lambda: sequential(conv(2, 4, 3, groups=2), RAVEL, linear(120, 3)), (7, 8), "dilation or groups"),
        (lambda: sequential(conv(2, 3, 3), conv(2, 3, 3)), (7, 8), "layer 2: Conv2d takes images of 2 channels"),
        (lambda: sequential(conv(2, 3, 9), RAVEL, linear(3, 3)), (7, 8), "at least 9 by 9 pixels"),
        (lambda: sequential(RAVEL, conv(2, 3, 3)), (7, 8), "layer 2: Conv2d takes images"),
        (lambda: sequential(conv(2, 3, 3), linear(90, 3)), (7, 8), r"layer 2: .*Lambda\(jnp.ravel\)"),
        (lambda: sequential(conv(2, 3, 3)), (7, 8), "layer 1: the outputs must be a vector"),
    ],
)
def test_other_layers_are_refused_by_name(module, image, message):
    with pytest.raises(IncompatibleError, match=message) as refusal:
        from_equinox(module(), image)
    assert "\n" not in str(refusal.value)
