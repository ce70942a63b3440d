"""Penalties: sums over every coefficient, whoever shares it, in units of its term."""

from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import small
from metaplax.plasticity import L1, L2, ElasticNet, NoPenalty, Sharing, rules, shared

SHARINGS: tuple[Sharing, ...] = get_args(Sharing)
LAYERS = range(1, len(small.SIZES))
UNITS = (2.0, 0.25, 0.01)
COUNTS = {"global": 1, "layer": 3, "neuron": 9 + 8 + 6, "synapse": 12 * 9 + 9 * 8 + 8 * 6}


def coefficients(sharing: Sharing) -> Any:
    """Those of three terms, no two of them equal."""
    start = shared((0.0,) * len(UNITS), sharing, small.SIZES)
    leaves, structure = jax.tree.flatten(start)
    generator = np.random.default_rng(3)
    return jax.tree.unflatten(
        structure, [jnp.asarray(generator.normal(size=leaf.shape), leaf.dtype) for leaf in leaves]
    )


def measured(sharing: Sharing, units) -> np.ndarray:
    """Every coefficient once, divided by the unit of its term."""
    layers = LAYERS[:1] if sharing == "global" else LAYERS
    given = coefficients(sharing)
    return np.concatenate(
        [np.ravel(given.at(layer, term)) / unit for layer in layers for term, unit in enumerate(units)]
    )


PENALTIES = {
    "none": (lambda units: NoPenalty(), lambda x: np.zeros(())),
    "l1": (lambda units: L1(1.5, units), lambda x: 1.5 * np.sum(np.abs(x))),
    "l2": (lambda units: L2(0.3, units), lambda x: 0.3 * np.sum(x**2)),
    "elastic": (lambda units: ElasticNet(1.5, 0.3, units), lambda x: 1.5 * np.sum(np.abs(x)) + 0.3 * np.sum(x**2)),
}
SLOPES = {
    "none": lambda x: 0 * x,
    "l1": lambda x: 1.5 * np.sign(x),
    "l2": lambda x: 0.6 * x,
    "elastic": lambda x: 1.5 * np.sign(x) + 0.6 * x,
}


@pytest.mark.parametrize("units", [None, UNITS], ids=["paper", "measured"])
@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("name", PENALTIES)
def test_amounts_and_slopes(name, sharing, units):
    make, charge = PENALTIES[name]
    amount, slope = jax.value_and_grad(make(units))(coefficients(sharing))
    divisors = (1.0,) * len(UNITS) if units is None else units
    x = measured(sharing, divisors)
    assert len(x) == COUNTS[sharing] * len(UNITS)
    np.testing.assert_allclose(amount, charge(x), rtol=1e-5)
    for layer in LAYERS:
        for term, unit in enumerate(divisors):
            expected = SLOPES[name](np.asarray(coefficients(sharing).at(layer, term)) / unit) / unit
            np.testing.assert_allclose(slope.at(layer, term), expected, rtol=1e-5)


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("penalty", [L1(1.5), L1(1.5, UNITS), ElasticNet(1.5, 0.3)])
def test_at_zero_nothing_pulls(penalty, sharing):
    slope = jax.grad(penalty)(shared((0.0,) * len(UNITS), sharing, small.SIZES))
    assert jax.tree.leaves(slope)
    for leaf in jax.tree.leaves(slope):
        np.testing.assert_array_equal(leaf, 0)


def test_what_is_charged_is_added_to_the_loss():
    losses = [
        small.learner(rule=rules.f_bio(), penalty=penalty).run(small.episode(2), jax.random.key(0))[0]
        for penalty in (NoPenalty(), L1(700.0), L1(700.0, UNITS))
    ]
    np.testing.assert_allclose(np.subtract(losses[1:], losses[0]), [0.7, 0.35], rtol=1e-5)


@pytest.mark.parametrize("values", [(1.5, -2.0, 0.0), [1.5, -2.0, 0.0], jnp.array([1.5, -2.0, 0.0])], ids=type)
@pytest.mark.parametrize("sharing", SHARINGS)
def test_filled_with_one_value_per_term(sharing, values):
    before: Any = coefficients(sharing)
    filled: Any = before.filled(values)
    assert type(filled) is type(before)
    assert filled.fits(len(UNITS), small.SIZES)
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
def test_units_can_be_filled_in_under_jit(sharing):
    fill = jax.jit(lambda values: coefficients(sharing).filled(values))
    jax.tree.map(np.testing.assert_array_equal, fill(jnp.array(UNITS)), coefficients(sharing).filled(UNITS))
