"""The convolutional network equals JAX's own convolution, pooling and batch normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaplax.networks import BatchNormLeNet
from metaplax.networks.lenet import EPSILON

KEY = jax.random.key(2)
NET = BatchNormLeNet(side=16, channels_in=2, channels=(3, 4), hidden=(7, 5), outputs=3)


def by_jax(weights, x, statistics=None):
    """The same network with ``jax.lax`` convolutions, in the usual layout; ``statistics`` or those of the batch."""
    moments = []

    def normalise(y, part, k):
        axes = tuple(range(y.ndim - 1))
        mean, variance = (y.mean(axes), y.var(axes)) if statistics is None else statistics[k]
        moments.append((mean, variance))
        ones = (None,) * (y.ndim - 1)
        return (y - mean[ones]) / jnp.sqrt(variance[ones] + EPSILON) * part.scale[ones] + part.shift[ones]

    y = x
    for k, part in enumerate(weights[:2]):
        y = jax.lax.conv_general_dilated(
            y, part.layer.weight, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        y = jax.nn.relu(normalise(y + part.layer.bias[None, None, None], part, k))
        y = jax.lax.reduce_window(y, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    # Channels first, as the weights of the first hidden layer expect them.
    y = jnp.transpose(y, (0, 3, 1, 2)).reshape(len(y), -1)
    for k, part in enumerate(weights[2:4], start=2):
        y = jax.nn.relu(normalise(y @ part.layer.weight + part.layer.bias[None], part, k))
    return y @ weights[4].weight + weights[4].bias[None], moments


@pytest.fixture
def batch(x64):
    del x64
    weights, buffers = NET.init(KEY)
    weights = jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(KEY, leaf.shape), weights)
    return weights, buffers, jax.random.normal(KEY, (9, 16, 16, 2))


def test_outputs_and_running_statistics(batch):
    weights, buffers, x = batch
    found, after = NET(weights, buffers, x, training=True)
    expected, moments = by_jax(weights, x)
    assert np.allclose(found, expected, rtol=1e-10)
    for part, (mean, variance), seen in zip(after, moments, (9 * 144, 9 * 4, 9, 9), strict=True):
        assert np.allclose(part.mean, 0.1 * mean, rtol=1e-10)
        assert np.allclose(part.variance, 0.9 + 0.1 * variance * seen / (seen - 1), rtol=1e-10)


def test_given_statistics_and_many_examples(batch, monkeypatch):
    weights, buffers, x = batch
    _, after = NET(weights, buffers, x, training=True)
    expected, _ = by_jax(weights, x, [(part.mean, part.variance) for part in after])
    assert np.allclose(NET(weights, after, x, training=False)[0], expected, rtol=1e-10)
    monkeypatch.setattr("metaplax.networks.lenet.AT_ONCE", 4)
    assert np.allclose(NET(weights, after, x, training=False)[0], expected, rtol=1e-10)


def test_derivatives(batch):
    weights, buffers, x = batch
    ours = jax.jit(jax.grad(lambda weights: jnp.sum(jnp.sin(NET(weights, buffers, x, training=True)[0]))))(weights)
    theirs = jax.jit(jax.grad(lambda weights: jnp.sum(jnp.sin(by_jax(weights, x)[0]))))(weights)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert np.allclose(one, other, rtol=1e-8, atol=1e-10)


def test_the_published_size():
    weights, _ = BatchNormLeNet().init(KEY)
    assert sum(leaf.size for leaf in jax.tree.leaves(weights)) == 62_458
    with pytest.raises(ValueError, match="images of side 30 do not come out even"):
        BatchNormLeNet(side=30)
