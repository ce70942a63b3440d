"""The algebra of updates: structure never changes the sum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaplax.plasticity import Decay, Dense, Gated, Outer, apply, merge, pull_back, undo

POST, PRE = 3, 4
KINDS = st.lists(
    st.sampled_from(["outer", "same_post", "gated", "decay", "row_decay", "dense"]), min_size=1, max_size=6
)


def build(kinds, seed):
    g = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(g.normal(size=shape), jnp.float32)  # noqa: E731
    common = draw(POST)
    make = {
        "outer": lambda: Outer(draw(POST), draw(PRE)),
        "same_post": lambda: Outer(common, draw(PRE)),
        "gated": lambda: Gated(draw(POST, PRE), Outer(draw(POST), draw(PRE))),
        "decay": lambda: Decay(0.1 * draw()),
        "row_decay": lambda: Decay(0.1 * draw(POST)),
        "dense": lambda: Dense(draw(POST, PRE)),
    }
    return [make[kind]() for kind in kinds], draw(POST, PRE), draw


@settings(deadline=None, max_examples=40)
@given(kinds=KINDS, seed=st.integers(0, 1000))
def test_apply_is_the_weight_plus_the_dense_sum(kinds, seed):
    updates, weight, _ = build(kinds, seed)
    expected = np.asarray(weight, float) + sum(np.asarray(u.dense(weight), float) for u in updates)
    np.testing.assert_allclose(apply(weight, updates), expected, rtol=2e-5, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(kinds=KINDS, seed=st.integers(0, 1000))
def test_undo_runs_apply_backwards(kinds, seed):
    updates, weight, _ = build(kinds, seed)
    np.testing.assert_allclose(undo(apply(weight, updates), updates), weight, rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=20)
@given(kinds=KINDS, seed=st.integers(0, 1000))
def test_pull_back_is_the_derivative_of_apply(kinds, seed):
    updates, weight, draw = build(kinds, seed)
    updates, weight_bar = merge(updates), draw(POST, PRE)
    expected = jax.vjp(apply, weight, updates)[1](weight_bar)
    found = pull_back(weight, updates, weight_bar)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, expected)


@settings(deadline=None, max_examples=40)
@given(kinds=KINDS, seed=st.integers(0, 1000), shape=st.sampled_from([(), (POST,), (POST, PRE)]))
def test_a_coefficient_multiplies_the_dense_change(kinds, seed, shape):
    updates, weight, draw = build(kinds, seed)
    coefficient = draw(*shape)
    factor = np.asarray(coefficient)[:, None] if len(shape) == 1 else np.asarray(coefficient)
    for update in updates:
        expected = factor * np.asarray(update.dense(weight))
        np.testing.assert_allclose(update.scaled(coefficient).dense(weight), expected, rtol=1e-5, atol=1e-6)


def test_scalar_and_neuron_coefficients_keep_the_structure():
    outer, decay = Outer(jnp.ones(POST), jnp.ones(PRE)), Decay(jnp.ones(()))
    for coefficient in (jnp.ones(()), jnp.ones(POST)):
        assert isinstance(outer.scaled(coefficient), Outer)
        assert isinstance(decay.scaled(coefficient), Decay)
    assert isinstance(outer.scaled(jnp.ones((POST, PRE))), Gated)


@pytest.mark.parametrize(
    ("kinds", "outers"), [(["same_post"] * 3, 1), (["outer", "outer"], 2), (["decay", "row_decay"], 1)]
)
def test_outer_products_with_the_same_post_factor_and_decays_are_merged(kinds, outers):
    updates, _, _ = build(kinds, 0)
    assert len(merge(updates)) == outers
