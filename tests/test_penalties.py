"""Penalties: sums over every coefficient, whoever shares it, in the scale of its term."""

from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import small
from metaplax.plasticity import L1, L2, ElasticNet, NoPenalty, Sharing, rules, shared

SHARINGS: tuple[Sharing, ...] = get_args(Sharing)
LAYERS = range(1, len(small.SIZES))
SCALES = (2.0, 0.25, 0.01)
COUNTS = {"global": 1, "layer": 3, "neuron": 9 + 8 + 6, "synapse": 12 * 9 + 9 * 8 + 8 * 6}


def coefficients(sharing: Sharing) -> Any:
    """Those of three terms, no two of them equal."""
    start = shared((0.0,) * len(SCALES), sharing, small.SIZES)
    leaves, structure = jax.tree.flatten(start)
    generator = np.random.default_rng(3)
    return jax.tree.unflatten(
        structure, [jnp.asarray(generator.normal(size=leaf.shape), leaf.dtype) for leaf in leaves]
    )


def measured(sharing: Sharing, scales) -> np.ndarray:
    """Every coefficient once, divided by the scale of its term."""
    layers = LAYERS[:1] if sharing == "global" else LAYERS
    given = coefficients(sharing)
    return np.concatenate(
        [np.ravel(given.at(layer, term)) / scale for layer in layers for term, scale in enumerate(scales)]
    )


PENALTIES = {
    "none": (lambda scales: NoPenalty(), lambda x: np.zeros(())),
    "l1": (lambda scales: L1(1.5, scales), lambda x: 1.5 * np.sum(np.abs(x))),
    "l2": (lambda scales: L2(0.3, scales), lambda x: 0.3 * np.sum(x**2)),
    "elastic": (lambda scales: ElasticNet(1.5, 0.3, scales), lambda x: 1.5 * np.sum(np.abs(x)) + 0.3 * np.sum(x**2)),
}
SLOPES = {
    "none": lambda x: 0 * x,
    "l1": lambda x: 1.5 * np.sign(x),
    "l2": lambda x: 0.6 * x,
    "elastic": lambda x: 1.5 * np.sign(x) + 0.6 * x,
}


@pytest.mark.parametrize("scales", [None, SCALES], ids=["paper", "measured"])
@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("name", PENALTIES)
def test_amounts_and_slopes(name, sharing, scales):
    make, charge = PENALTIES[name]
    amount, slope = jax.value_and_grad(make(scales))(coefficients(sharing))
    divisors = (1.0,) * len(SCALES) if scales is None else scales
    x = measured(sharing, divisors)
    assert len(x) == COUNTS[sharing] * len(SCALES)
    np.testing.assert_allclose(amount, charge(x), rtol=1e-5)
    for layer in LAYERS:
        for term, scale in enumerate(divisors):
            expected = SLOPES[name](np.asarray(coefficients(sharing).at(layer, term)) / scale) / scale
            np.testing.assert_allclose(slope.at(layer, term), expected, rtol=1e-5)


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("penalty", [L1(1.5), L1(1.5, SCALES), ElasticNet(1.5, 0.3)])
def test_at_zero_nothing_pulls(penalty, sharing):
    slope = jax.grad(penalty)(shared((0.0,) * len(SCALES), sharing, small.SIZES))
    assert jax.tree.leaves(slope)
    for leaf in jax.tree.leaves(slope):
        np.testing.assert_array_equal(leaf, 0)


def test_what_is_charged_is_added_to_the_loss():
    losses = [
        small.learner(rule=rules.f_bio(), penalty=penalty).run(small.episode(2), jax.random.key(0))[0]
        for penalty in (NoPenalty(), L1(700.0), L1(700.0, SCALES))
    ]
    np.testing.assert_allclose(np.subtract(losses[1:], losses[0]), [0.7, 0.35], rtol=1e-5)


@pytest.mark.parametrize("values", [(1.5, -2.0, 0.0), [1.5, -2.0, 0.0], jnp.array([1.5, -2.0, 0.0])], ids=type)
@pytest.mark.parametrize("sharing", SHARINGS)
def test_filled_with_one_value_per_term(sharing, values):
    before: Any = coefficients(sharing)
    filled: Any = before.filled(values)
    assert type(filled) is type(before)
    assert filled.fits(len(SCALES), small.SIZES)
    for a, b in zip(jax.tree.leaves(filled), jax.tree.leaves(before), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    for layer in LAYERS:
        for term, value in enumerate((1.5, -2.0, 0.0)):
            np.testing.assert_array_equal(filled.at(layer, term), value)


@pytest.mark.parametrize("sharing", SHARINGS)
def test_filling_gives_what_a_rule_would_start_with(sharing):
    filled = shared((0.0,) * 10, sharing, small.SIZES).filled(small.COEFFICIENTS)
    jax.tree.map(np.testing.assert_array_equal, filled, small.full_rule(sharing).coefficients)


@pytest.mark.parametrize("sharing", SHARINGS)
def test_scales_can_be_filled_in_under_jit(sharing):
    fill = jax.jit(lambda values: coefficients(sharing).filled(values))
    jax.tree.map(np.testing.assert_array_equal, fill(jnp.array(SCALES)), coefficients(sharing).filled(SCALES))
