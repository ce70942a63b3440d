"""Every term equals a loop over synapses written from the published formula, and sees only its own layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metaplax as mp
from metaplax.plasticity import ALL_TERMS, Signals, apply

POST, PRE = 4, 3


def signals(seed=0) -> Signals:
    g = np.random.default_rng(seed)
    weight, pre = jnp.asarray(g.normal(size=(POST, PRE))), jnp.asarray(g.normal(size=PRE))
    return Signals(
        pre=pre,
        post=jnp.asarray(g.normal(size=POST)),
        pre_error=jnp.asarray(g.normal(size=PRE)),
        post_error=jnp.asarray(g.normal(size=POST)),
        preactivation=weight @ pre,
        weight=weight,
    )


def formula(k: int, j: int, i: int, y, x, e, d, w) -> float:
    """Eqs. 14-23 for the synapse from neuron ``i`` to neuron ``j``: ``y, e`` are post-, ``x, d`` pre-synaptic."""
    total = sum(y)
    y_w_d = sum(y[a] * w[a][b] * d[b] for a in range(POST) for b in range(PRE))
    z_e = sum(w[a][b] * x[b] * e[a] for a in range(POST) for b in range(PRE))
    return (
        lambda: -e[j] * x[i],
        lambda: -y[j] * d[i],
        lambda: -e[j] * d[i],
        lambda: -w[j][i],
        lambda: -d[i],
        lambda: -total * e[j] * x[i],
        lambda: -y_w_d * y[j] * d[i],
        lambda: -y_w_d * e[j] * x[i],
        lambda: -z_e * y[j] * d[i],
        lambda: y[j] * x[i] - sum(y[j] * y[a] * w[a][i] for a in range(POST)),
    )[k]()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("k", range(10))
def test_term_equals_published_formula(k):
    s = signals()
    arrays = [np.asarray(a).tolist() for a in (s.post, s.pre, s.post_error, s.pre_error, s.weight)]
    expected = [[formula(k, j, i, *arrays) for i in range(PRE)] for j in range(POST)]
    np.testing.assert_allclose(ALL_TERMS[k]()(s).dense(s.weight), expected, rtol=1e-12)


@pytest.mark.parametrize("term", [t for t in ALL_TERMS if t.locality == "synapse"], ids=lambda t: t.name)
def test_synaptic_terms_depend_on_nothing_but_their_own_neurons(term):
    s = signals()

    def change(pre, post, pre_error, post_error, weight):
        seen = Signals(pre, post, pre_error, post_error, s.preactivation, weight)
        return term()(seen).dense(weight)

    of = jax.jacobian(change, argnums=(0, 1, 2, 3, 4))(s.pre, s.post, s.pre_error, s.post_error, s.weight)
    j, i = np.indices((POST, PRE))
    for jacobian, own in zip(of[:4], (i, j, i, j), strict=True):
        elsewhere = own[:, :, None] != np.arange(jacobian.shape[-1])
        np.testing.assert_array_equal(jacobian[elsewhere], 0)
    elsewhere = (j[:, :, None, None] != j) | (i[:, :, None, None] != i)
    np.testing.assert_array_equal(of[4][elsewhere], 0)


@pytest.mark.parametrize("term", [t for t in ALL_TERMS if t.locality == "layer"], ids=lambda t: t.name)
def test_terms_that_sum_over_a_layer_say_so(term):
    s = signals()

    def change(post, pre_error, preactivation, weight):
        seen = Signals(s.pre, post, pre_error, s.post_error, preactivation, weight)
        return term()(seen).dense(weight)

    of_post, of_pre_error, of_preactivation, of_weight = jax.jacobian(change, argnums=(0, 1, 2, 3))(
        s.post, s.pre_error, s.preactivation, s.weight
    )
    j, i = np.indices((POST, PRE))
    others = [
        (of_post, j[:, :, None] != np.arange(POST)),
        (of_pre_error, i[:, :, None] != np.arange(PRE)),
        (of_preactivation, j[:, :, None] != np.arange(POST)),
        (of_weight, (j[:, :, None, None] != j) | (i[:, :, None, None] != i)),
    ]
    assert any(np.any(np.asarray(jacobian)[elsewhere] != 0) for jacobian, elsewhere in others)


def test_all_terms_together_are_the_sum():
    s = signals()
    updates = [term()(s) for term in ALL_TERMS]
    expected = s.weight + sum(update.dense(s.weight) for update in updates)
    np.testing.assert_allclose(apply(s.weight, updates), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "text", "latex"),
    [
        ({}, "mineₗ", r"\mathrm{mine}_\ell"),
        ({"text": "yₗ yₗ₋₁ᵀ", "latex": r"y_\ell\, y_{\ell-1}^\top"}, "yₗ yₗ₋₁ᵀ", r"y_\ell\, y_{\ell-1}^\top"),
    ],
)
def test_a_term_in_one_line(options, text, latex):
    mine = mp.plasticity.term("mine", lambda s: mp.plasticity.Outer(s.post, s.pre), **options)
    assert (mine.name, mine.text, mine.latex, mine.sign, mine.locality) == ("mine", text, latex, 1, "synapse")
    ones = jnp.ones
    signals = mp.plasticity.Signals(2 * ones(3), 3 * ones(2), ones(3), ones(2), ones(2), ones((2, 3)))
    assert jnp.array_equal(mine(signals).dense(signals.weight), 6 * ones((2, 3)))
