"""Learned rules that are shipped, and their use without meta-training."""

import importlib.util
import json
import re
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaplax as mp
import small
from metaplax.learners import IncompatibleError, PlasticState, plasticity_optimizer
from metaplax.plasticity import LayerCoefficients, LearnedRule, Rule, UnknownRuleError

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
SHIPPED = {
    "shervani2023/bp": ("fig3", "bp", ("0",), "symmetric"),
    "shervani2023/ehebb": ("fig5", "ehebb", ("0", "2"), "random"),
    "shervani2023/f_bio": ("figS2", "f_bio", ("0", "2", "9"), "random"),
    "shervani2023/fa": ("fig3", "fa", ("0",), "random"),
    "shervani2023/oja": ("fig7", "oja", ("0", "9"), "random"),
    "discovered/centred": ("discover", "centred", ("2", "9", "c"), "random"),
    "discovered/centred_both": ("discover", "centred_both", ("2", "9", "c"), "chain and direct"),
}
TAUGHT_BY = {*small.FEEDBACK, "chain and direct"}
KEY = jax.random.key(0)
ROWS = ((0.01, -0.02), (0.03, -0.04), (0.05, -0.06))
PER_LAYER = {
    "name": "mine", "summary": "A rule.", "sharing": "layer", "terms": ["0", "2"], "coefficients": ROWS,
    "ci_low": ROWS, "ci_high": ROWS, "feedback": "random", "provenance": {},
}  # fmt: skip


def example(k):
    return jax.tree.map(lambda leaf: leaf[k], small.examples(8))


@pytest.fixture(scope="module")
def ship_rule():
    spec = importlib.util.spec_from_file_location("ship_rule", ROOT / "scripts" / "ship_rule.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_are_available():
    assert set(SHIPPED) <= set(mp.rules.available())
    assert list(mp.rules.available()) == sorted(mp.rules.available())


@pytest.mark.parametrize("name", mp.rules.available())
def test_every_file_is_named_after_its_rule_and_loads(name):
    learned, rule = mp.rules.describe(name), mp.rules.load(name)
    assert learned.name == name
    assert isinstance(rule, Rule)
    assert tuple(term.name for term in rule.terms) == learned.terms
    np.testing.assert_allclose(rule.coefficients.values, np.asarray(learned.coefficients, np.float32))
    assert (np.asarray(learned.ci_low) <= learned.coefficients).all()
    assert (np.asarray(learned.ci_high) >= learned.coefficients).all()
    assert LearnedRule.from_json(learned.as_json()) == learned
    assert {"experiment", "preset", "data", "trials", "meta_steps", "seed", "commit", "sizes"} <= set(
        learned.provenance
    )
    assert learned.feedback in TAUGHT_BY
    assert str(rule) in str(learned)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_rules_are_those_of_the_results(name, ship_rule, tmp_path, capsys):
    experiment, arm, terms, feedback = SHIPPED[name]
    learned = mp.rules.describe(name)
    assert (learned.terms, learned.feedback, learned.sharing) == (terms, feedback, "global")
    summary = RESULTS / f"shervani2023-{experiment}-paper.json"
    ship_rule.main(
        [str(summary), arm, name, "--summary", learned.summary, "--feedback", feedback, "--out", str(tmp_path)]
    )
    assert name in capsys.readouterr().out
    assert LearnedRule.from_json((tmp_path / f"{name}.json").read_text(encoding="utf-8")) == learned


def test_documentation_has_the_numbers_that_are_shipped():
    page = (ROOT / "docs" / "how-to" / "learned-rules.md").read_text(encoding="utf-8")
    for name in SHIPPED:
        learned = mp.rules.describe(name)
        cells = [cell.strip() for cell in re.search(rf"\| `{name}` \|(.*)\|", page)[1].split("|")]
        numbers = sorted(round(value, 4) for value in learned.coefficients)
        assert sorted(float(cell) for cell in cells[:3] if cell) == numbers
        accuracy = [learned.provenance["accuracy"][key] for key in ("mean", "ci_low", "ci_high")]
        assert cells[3] == f'`"{learned.feedback}"`'
        assert cells[4] == "{} [{}, {}]".format(*(f"{value:.3f}"[1:] for value in accuracy))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("shervani2023/fbio", "did you mean 'shervani2023/f_bio'"),
        ("f_bio", "did you mean 'shervani2023/f_bio'"),
        ("../terms.py", "there is no learned rule"),
        ("", "there are discovered/centred"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name, hint):
    for function in (mp.rules.load, mp.rules.describe):
        with pytest.raises(UnknownRuleError, match=hint):
            function(name)


def test_coefficients_per_layer():
    rule = LearnedRule.from_json(json.dumps(PER_LAYER)).rule()
    assert isinstance(rule.coefficients, LayerCoefficients)
    assert rule.coefficients.at(2, 1) == jnp.float32(-0.04)
    learner = small.learner(rule=rule)
    learner.check(small.episode())
    with pytest.raises(IncompatibleError, match="do not fit its 2 terms"):
        small.learner(rule=rule, sizes=(12, 9, 6)).check(small.episode())


def test_coefficients_per_layer_are_shipped(ship_rule):
    quantities = [
        {"name": f"theta{term}.layer{layer}.mine", "mean": row[k], "ci_low": row[k], "ci_high": row[k]}
        for k, term in enumerate(("0", "2"))
        for layer, row in enumerate(ROWS, start=1)
    ]
    accuracy = {"name": "accuracy.mine", "mean": 0.5, "ci_low": 0.4, "ci_high": 0.6}
    other = {"name": "theta0.layer1.other", "mean": 0.0, "ci_low": 0.0, "ci_high": 0.0}
    config = {"sharing": "layer", "feedback": "direct", "trials": 2, "meta_steps": 3, "seed": 1, "sizes": small.SIZES}
    result = {"config": config, "quantities": [accuracy, other, *quantities], "commit": "0", "preset": "quick"}
    result |= {"experiment": "mine", "data": "glyphs"}
    learned = ship_rule.learned_rule(result, "mine", "mine", "A rule.", None)
    assert (learned.terms, learned.coefficients, learned.feedback) == (("0", "2"), ROWS, "direct")
    assert LearnedRule.from_json(learned.as_json()).sharing == "layer"
    for arm, sharing in (("absent", "layer"), ("mine", "neuron")):
        with pytest.raises(SystemExit):
            ship_rule.learned_rule(result | {"config": config | {"sharing": sharing}}, arm, "mine", "A rule.", None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"terms": ["0", "x"]}, "a term 'x'"),
        ({"terms": ["0"]}, "each of its 1 terms in each layer"),
        ({"ci_low": ROWS[:2]}, "each of its 2 terms"),
        ({"coefficients": ((0.1, 0.2), (0.1,), (0.1, 0.2))}, "each of its 2 terms"),
        ({"coefficients": (0.1, 0.2)}, "in each layer"),
        ({"sharing": "global"}, "each of its 2 terms"),
        ({"sharing": "neuron"}, "globally or per layer"),
        ({"unheard": 1}, "not the file of a learned rule"),
        ({"terms": None}, "not the file of a learned rule"),
        ({"terms": ["0", ["2"]]}, "must be texts|not the file of a learned rule"),
        ({"terms": ["0", "0"]}, "needs different terms"),
        ({"terms": [], "coefficients": [[]]}, "needs different terms, at least one"),
        ({"name": 3}, "must be texts|not the file of a learned rule"),
        ({"coefficients": "12"}, "not the file of a learned rule"),
        ({"coefficients": [["1", 2], [1, 2], [1, 2]]}, "not the file of a learned rule"),
        ({"coefficients": [[True, 2], [1, 2], [1, 2]]}, "not the file of a learned rule"),
        ({"coefficients": [[10**400, 2], [1, 2], [1, 2]]}, "not the file of a learned rule"),
        (
            {"coefficients": [[float("nan"), 2], [1, 2], [1, 2]]},
            "needs finite coefficients|not the file of a learned rule",
        ),
        ({"ci_low": [[1, 2]] * 3, "ci_high": [[1, 1]] * 3}, "intervals whose lower end is the lower one"),
        ({"provenance": 3}, "not the file of a learned rule"),
        (
            {"provenance": {"accuracy": {"mean": "high", "ci_low": 0, "ci_high": 1}}},
            "the accuracy of mine must be mean",
        ),
        ({"provenance": {"accuracy": {"mean": 0.5}}}, "the accuracy of mine must be mean"),
        ({"provenance": {"accuracy": 3}}, "the accuracy of mine must be mean"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        LearnedRule.from_json(json.dumps(PER_LAYER | change))


@pytest.mark.parametrize("text", ["", "3", "[]", '"rule"', "{}", "[" * 10**5, "\ufeff{}"])
def test_other_files_are_refused(text):
    with pytest.raises(ValueError, match=r"not the file of a learned rule|Expecting value|BOM"):
        LearnedRule.from_json(text)


def test_a_rule_of_unknown_origin_is_printed():
    assert "learned by unknown on unknown with random feedback" in str(LearnedRule.from_json(json.dumps(PER_LAYER)))


def test_a_loaded_rule_learns_and_can_be_meta_learned_further():
    learner = small.learner(rule=mp.rules.load("shervani2023/f_bio"))
    start = learner.init(KEY)
    assert not jnp.array_equal(start.weights[0], learner.update(start, example(0), KEY).weights[0])
    assert [leaf.shape for leaf in jax.tree.leaves(mp.learners.split(learner)[0])] == [(3,)]
    assert jax.tree.leaves(mp.learners.split(mp.learners.freeze(learner))[0]) == []


@pytest.mark.parametrize("apply_updates", [optax.apply_updates, lambda w, u: eqx.apply_updates(w, u)])
@pytest.mark.parametrize("feedback", small.FEEDBACK)
def test_optimizer_does_what_the_learner_does(feedback, apply_updates):
    learner = small.learner(feedback)
    start = learner.init(KEY)
    optimizer = plasticity_optimizer(learner.network, learner.rule, learner.feedback)
    update, reference = jax.jit(optimizer.update), jax.jit(lambda *given: learner.update(*given))
    for k in range(3):
        now = example(k)
        updates, state = update(now.x, now.y, start.feedback, start.weights)
        expected = reference(start, now, KEY)
        assert eqx.tree_equal(state, expected.feedback)
        for old, new, found in zip(start.weights, expected.weights, apply_updates(start.weights, updates), strict=True):
            larger = np.maximum(np.abs(old), np.abs(new))
            assert (np.abs(np.asarray(new) - found) <= np.spacing(larger) / 2).all()
        start = expected


def test_optimizer_equals_the_learner_bit_for_bit_where_the_difference_is_a_number():
    learner = small.learner(rule=mp.rules.load("shervani2023/f_bio"))
    start, now = learner.init(KEY), example(0)
    updates, _ = plasticity_optimizer(learner.network, learner.rule).update(now.x, 1, start.feedback, start.weights)
    expected = learner.update(start, mp.tasks.Examples(now.x, jnp.asarray(1)), KEY)
    for old, new, change in zip(start.weights, expected.weights, updates, strict=True):
        exact = np.asarray(new, float) - np.asarray(old, float) == np.asarray(change, float)
        assert exact.mean() > 0.9
        np.testing.assert_array_equal(np.where(exact, old + change, new), new)


def test_optimizer_over_many_examples():
    learner = small.learner(rule=mp.rules.load("shervani2023/f_bio"))
    start = learner.init(KEY)
    optimizer = plasticity_optimizer(learner.network, learner.rule)

    def step(carry, now):
        updates, state = optimizer.update(now.x, now.y, carry.feedback, carry.weights)
        return PlasticState(optax.apply_updates(carry.weights, updates), state), None

    found, _ = jax.lax.scan(step, start, small.examples(30))
    expected = learner.adapt(start, small.examples(30), KEY)
    for a, b in zip(found.weights, expected.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_optimizer_starts_the_feedback():
    learner = small.learner()
    weights = learner.network.init(KEY)
    state = plasticity_optimizer(learner.network, learner.rule).init(weights, jax.random.key(7))
    assert eqx.tree_equal(state, learner.feedback.init(jax.random.key(7), learner.network))


@pytest.mark.parametrize(
    ("weights", "rule", "message"),
    [
        (lambda w: w[:2], small.full_rule(), "no weights of shapes"),
        (lambda w: tuple(a.T for a in w), small.full_rule(), "no weights of shapes"),
        (lambda w: w, small.full_rule("layer", (4, 3, 2)), "do not fit its 10 terms"),
    ],
)
def test_optimizer_refuses_what_does_not_fit(weights, rule, message):
    network = mp.MLP(small.SIZES)
    with pytest.raises(IncompatibleError, match=message):
        plasticity_optimizer(network, rule).init(weights(network.init(KEY)), KEY)
