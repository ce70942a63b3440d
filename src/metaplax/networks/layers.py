"""Weights of single layers, and helpers that several networks share."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Num

EPSILON = 1e-5
"""Added to variances by batch normalisation, so that it never divides by zero."""


class Affine(eqx.Module):
    """Weights and biases of one layer.

    Convolution kernels have shape ``(rows, columns, in, out)``. Matrices have shape ``(out, in)`` in encoders and the
    layers behind them, and ``(in, out)`` in ``BatchNormLeNet`` and ``ConvBlocks``.
    """

    weight: Float[Array, "..."]
    bias: Float[Array, " out"]


def kaiming_normal(key: Key[Array, ""], shape: tuple[int, ...], fan_in: int) -> Float[Array, "..."]:
    """Normal numbers of standard deviation ``sqrt(2 / fan_in)`` (He et al., 2015)."""
    return jax.random.normal(key, shape) * (2 / fan_in) ** 0.5


def glorot_uniform(key: Key[Array, ""], shapes: Sequence[tuple[int, int]]) -> tuple[Float[Array, "_ _"], ...]:
    """Matrices, each uniform in ``[-r, r]`` with ``r = sqrt(6 / (post + pre))`` (Glorot & Bengio, 2010)."""
    # One draw for all of them, because every call of the generator adds to the time of compilation.
    numbers = jax.random.uniform(key, (sum(post * pre for post, pre in shapes),), jnp.result_type(float), -1.0, 1.0)
    matrices, used = [], 0
    for post, pre in shapes:
        bound = (6.0 / (post + pre)) ** 0.5
        matrices.append(bound * numbers[used : used + post * pre].reshape(post, pre))
        used += post * pre
    return tuple(matrices)


def dense_layers(key: Key[Array, ""], sizes: tuple[int, ...]) -> tuple[Affine, ...]:
    """Fully connected layers of these sizes, input first: Kaiming normal weights ``(out, in)`` and zero biases."""
    keys = jax.random.split(key, len(sizes) - 1)
    shapes = zip(sizes[1:], sizes[:-1], strict=True)
    return tuple(
        Affine(kaiming_normal(k, shape, shape[1]), jnp.zeros(shape[0])) for k, shape in zip(keys, shapes, strict=True)
    )


def map_chunks(
    function: Callable[[Num[Array, "..."]], Float[Array, "_ out"]], x: Num[Array, "batch ..."], size: int
) -> Float[Array, "batch out"]:
    """``function(x)``, computed ``size`` examples at a time where there are more, to save memory.

    The function maps a batch of any size to one vector per example, independently of the other examples.
    """
    if len(x) <= size:
        return function(x)
    whole = len(x) // size * size
    y = jax.lax.map(function, x[:whole].reshape(-1, size, *x.shape[1:])).reshape(whole, -1)
    return jnp.concatenate([y, function(x[whole:])]) if whole < len(x) else y
