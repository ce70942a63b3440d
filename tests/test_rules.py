"""Rules: how they are written, and who shares a coefficient."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import metaplax as mp
import small
from metaplax.plasticity import ALL_TERMS, GlobalCoefficients, Rule, rules, shared


def with_values(rule, *values):
    return eqx.tree_at(lambda r: r.coefficients, rule, GlobalCoefficients(jnp.array(values)))


def with_rows(rule, *rows):
    return eqx.tree_at(lambda r: r.coefficients.values, rule, jnp.array(rows))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (with_values(rules.f_bio(), 0.0105, -0.042, 0.0046),
         "ΔWₗ = −0.0105 eₗ yₗ₋₁ᵀ + 0.042 eₗ eₗ₋₁ᵀ + 0.0046 yₗ (yₗ₋₁ − Wₗᵀyₗ)ᵀ"),
        (with_values(rules.ehebb(), -0.01, 0.5), "ΔWₗ = 0.01 eₗ yₗ₋₁ᵀ − 0.5 eₗ eₗ₋₁ᵀ"),
        (with_values(rules.oja(), 0.0, 0.1), "ΔWₗ = 0.1 yₗ (yₗ₋₁ − Wₗᵀyₗ)ᵀ"),
        (with_values(rules.oja(), 0.0, 0.0), "ΔWₗ = 0"),
        (
            rules.gradient("layer", small.SIZES),
            "ΔW₁ = −0.001 eₗ yₗ₋₁ᵀ\nΔW₂ = −0.001 eₗ yₗ₋₁ᵀ\nΔW₃ = −0.001 eₗ yₗ₋₁ᵀ",
        ),
        (rules.gradient("synapse", small.SIZES), "ΔWₗ = −θ0 eₗ yₗ₋₁ᵀ"),
        (
            with_values(rules.taylor(2, ("pre", "post")), 0.0, 0.02, 0.0, -0.3, 1.5, 0.0, 0.0, 0.3, 0.0),
            "ΔWₗ = 1.5 yₗ₋₁ yₗ − 0.3 yₗ₋₁ + 0.3 yₗ₋₁² yₗ + 0.02 yₗ",
        ),
        (
            with_rows(rules.taylor(1, ("pre", "post"), "layer", (3, 4, 5)), (0.0, 0.02, 0.0, -0.3), (0.1, 0.2, 0.3, 0)),
            "ΔW₁ = −0.3 yₗ₋₁ yₗ + 0.02 yₗ\nΔW₂ = 0.3 yₗ₋₁ + 0.2 yₗ + 0.1 1",
        ),
    ],
)  # fmt: skip
def test_printed(rule, text):
    assert str(rule) == text


def test_latex():
    latex = with_values(rules.ehebb(), 0.01, -0.5).latex()
    assert latex == r"\Delta W_\ell = -0.01 \,e_\ell\, y_{\ell-1}^\top + 0.5 \,e_\ell\, e_{\ell-1}^\top"


def test_latex_of_a_polynomial_has_the_largest_coefficients_first():
    latex = with_values(rules.taylor(1, ("pre", "post")), 0.0, 0.02, -0.3, 1.5).latex()
    assert latex == r"\Delta W_\ell = 1.5 \,y_{\ell-1}\, y_\ell - 0.3 \,y_{\ell-1} + 0.02 \,y_\ell"


def test_other_rules_keep_the_order_of_their_terms():
    mixed = rules.make([*mp.plasticity.monomials(1, ("pre", "post")), mp.plasticity.Oja()])
    written = str(with_values(mixed, 0.0, 0.02, -0.3, 1.5, 2.0))
    assert written == "ΔWₗ = 0.02 yₗ − 0.3 yₗ₋₁ + 1.5 yₗ₋₁ yₗ + 2 yₗ (yₗ₋₁ − Wₗᵀyₗ)ᵀ"


def test_all_terms_have_the_names_of_the_paper():
    assert [term.name for term in ALL_TERMS] == [str(k) for k in range(10)]


@pytest.mark.parametrize(("sharing", "shape"), [("global", ()), ("layer", ()), ("neuron", (8,)), ("synapse", (8, 9))])
def test_coefficient_shapes(sharing, shape):
    assert shared((0.1, 0.2), sharing, small.SIZES).at(2, 1).shape == shape


@pytest.mark.parametrize("sharing", ["global", "layer", "neuron", "synapse"])
def test_equal_coefficients_give_the_same_update_however_shared(sharing):
    learner, reference = small.learner(rule=small.full_rule(sharing)), small.learner()
    key = jax.random.key(0)
    final, expected = (ln.adapt(ln.init(key), small.examples(4), key) for ln in (learner, reference))
    for a, b in zip(final.weights, expected.weights, strict=True):
        assert jnp.allclose(a, b, rtol=1e-4, atol=1e-6)


def test_scalars_are_named_after_the_terms():
    assert set(rules.f_bio().scalars()) == {"theta0", "theta2", "theta9"}
    assert set(rules.gradient("layer", small.SIZES).scalars()) == {"theta0.layer1", "theta0.layer2", "theta0.layer3"}


def test_terms_that_do_not_act_leave_their_layer_alone():
    rule = Rule((mp.plasticity.PseudoGradient(),), shared((0.1,)), ((True,), (False,), (True,)))
    learner = small.learner(rule=rule)
    key = jax.random.key(0)
    start = learner.init(key)
    final = learner.adapt(start, small.examples(4), key)
    changed = [not bool(jnp.array_equal(a, b)) for a, b in zip(start.weights, final.weights, strict=True)]
    assert changed == [True, False, True]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rules.make([ALL_TERMS[0](), ALL_TERMS[0]()]), "a name of its own"),
        (lambda: Rule((ALL_TERMS[0](),), shared((0.1,)), ((True, False),)), "one entry for each of the 1 terms"),
        (lambda: shared((0.1,), "layer"), "need the layer sizes"),
        (lambda: mp.MLP((3,)), "at least two layers"),
        (lambda: mp.feedback.KolenPollack(1.5), "fraction in"),
    ],
)
def test_nonsense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
