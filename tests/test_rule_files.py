"""Rules in files of one's own: read back to the bit, or refused in one sentence."""

import json
import os
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metaplax as mp
import small
from metaplax import _stored
from metaplax.plasticity import (
    ALL_TERMS,
    BCM,
    FURTHER_TERMS,
    STDP,
    AbstractTerm,
    AdaptiveSensitivity,
    Eligibility,
    Fluctuation,
    FluctuationPolynomial,
    Hebb,
    NeuronOja,
    NodePerturbation,
    NormalisedGradient,
    Outer,
    Rule,
    Scaled,
    Sensitivity,
    StepLimit,
    SynapticScaling,
    Taught,
    Traced,
    shared,
)

KEY = jax.random.key(3)
SIZES = (5, 4, 3)
EVERY_TERM = (
    *(kind() for kind in (*ALL_TERMS, *FURTHER_TERMS)), Hebb(), NeuronOja(), Sensitivity(), BCM(7.0),
    STDP(3.0, 5.0, 0.7), SynapticScaling(0.3, 11.0), Traced(Hebb(), post=4.0), Taught(NeuronOja()),
    Fluctuation(2.0, post_only=True), FluctuationPolynomial(jnp.eye(2)), NodePerturbation(), Scaled(Hebb(), 0.5),
    AdaptiveSensitivity(0.2, 0.9), Eligibility(Traced(Sensitivity(), pre=2.0), 9.0, "post_signal"),
)  # fmt: skip


class Slow(AbstractTerm):
    """A term of one's own with an array and a setting."""

    name, text, latex = "slow", "slowₗ", r"\mathrm{slow}_\ell"
    gain: jax.Array
    power: int = eqx.field(static=True)

    def __call__(self, signals) -> Outer:
        return Outer(self.gain * signals.post**self.power, signals.pre)


def drawn(rule: Rule) -> Rule:
    """The same rule with numbers in all of its arrays that no decimal fraction of a few digits is equal to."""
    leaves, structure = jax.tree.flatten(rule)
    keys = jax.random.split(KEY, len(leaves))
    return jax.tree.unflatten(
        structure,
        [
            leaf if isinstance(leaf, float) else jax.random.normal(k, leaf.shape, leaf.dtype)
            for k, leaf in zip(keys, leaves, strict=True)
        ],
    )


def made(sharing: str) -> Rule:
    return drawn(Rule(EVERY_TERM, shared([0.1] * len(EVERY_TERM), sharing, SIZES)))


RULES = {
    **{sharing: lambda sharing=sharing: made(sharing) for sharing in ("global", "layer", "neuron", "synapse")},
    "polynomial": lambda: drawn(mp.rules.taylor(2, ("pre", "post", "post_error", "weight"))),
    "network": lambda: mp.rules.mlp(("pre", "post_error", "modulator"), 6, key=KEY),
    "e-prop": lambda: mp.rules.eprop(0.9, 0.8, adaptation=0.1),
    "held": lambda: drawn(mp.rules.pool("neuron", SIZES)).hold("9", "3"),
    "shipped": lambda: mp.rules.load("discovered/centred_both"),
    "all else": lambda: Rule(
        (Hebb(), NormalisedGradient(0.1)), shared([0.1, -0.0]), ((True, False), (False, True)),
        gains=(0.5, 1 / 3), limit=StepLimit(None, 0.7),
    ),
    "not finite": lambda: Rule((Hebb(), BCM()), shared([float("nan"), -float("inf")])),
}  # fmt: skip


def same(one, other) -> bool:
    """Equal to the bit, types and static fields included."""
    bits = lambda tree: [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]  # noqa: E731
    types = lambda tree: [(type(leaf), getattr(leaf, "dtype", None)) for leaf in jax.tree.leaves(tree)]  # noqa: E731
    return (
        jax.tree.structure(one) == jax.tree.structure(other) and bits(one) == bits(other) and types(one) == types(other)
    )


@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_read_back_to_the_bit(name, tmp_path):
    rule = RULES[name]()
    rule.save(tmp_path / "rule.json")
    found = mp.rules.load(str(tmp_path / "rule.json"))
    assert same(found, rule)
    assert str(found) == str(rule) == json.loads((tmp_path / "rule.json").read_text())["equation"]


def test_double_precision_is_kept_and_is_needed_to_read_it(tmp_path, x64):
    rule = made("layer")
    assert rule.coefficients.values.dtype == jnp.float64
    rule.save(tmp_path / "rule.json")
    assert same(mp.rules.load(tmp_path / "rule.json"), rule)
    with jax.enable_x64(False), pytest.raises(ValueError, match="set JAX_ENABLE_X64=1"):
        mp.rules.load(tmp_path / "rule.json")


def test_the_list_of_terms_here_is_complete():
    """A new term of the library comes into ``EVERY_TERM``, or among the others here."""
    others = {"FunctionTerm", "MLPTerm", "Monomial"}
    concrete = {
        kind.__name__
        for kind in _stored.known_modules().values()
        if issubclass(kind, AbstractTerm) and kind.__module__.startswith("metaplax.plasticity")
    }
    assert concrete == others | {type(term).__name__ for term in EVERY_TERM}


def test_classes_of_the_library_have_names_of_their_own():
    found = _stored.known_modules()
    kinds = {
        kind for kind in _stored._below(eqx.Module) if vars(sys.modules[kind.__module__]).get(kind.__name__) is kind
    }
    ours = [kind for kind in kinds if kind.__module__.startswith("metaplax.")]
    assert {kind for kind in ours if not kind.__name__.startswith("Abstract")} == set(found.values())


def test_a_file_written_by_hand_is_read(tmp_path):
    text = """{"format": "metaplax rule", "version": 1, "rule": {"class": "plasticity.Rule",
      "terms": [{"class": "plasticity.Hebb"}, {"class": "plasticity.NormalisedGradient", "floor": 0.5}],
      "coefficients": {"class": "plasticity.GlobalCoefficients",
                       "values": {"array": [0.25, -2], "dtype": "float32", "shape": [2]}}}}"""
    (tmp_path / "rule.json").write_text(text)
    assert same(mp.rules.load(tmp_path / "rule.json"), Rule((Hebb(), NormalisedGradient(0.5)), shared([0.25, -2.0])))


def test_terms_of_ones_own(tmp_path):
    anti = mp.plasticity.term("anti", lambda s: Outer(-s.post, s.pre))
    rule = mp.rules.make([Slow(jnp.float32(0.3), 2), anti, Traced(Slow(jnp.float32(0.1), 1), pre=2.0)])
    rule.save(tmp_path / "rule.json")
    assert same(mp.rules.load(tmp_path / "rule.json", terms=[Slow, anti]), rule)
    with pytest.raises(ValueError, match="'Slow' is a class of your own, from 'test_rule_files': give that class, too"):
        mp.rules.load(tmp_path / "rule.json", terms=[anti])
    with pytest.raises(ValueError, match="the term 'anti' is a function of your own, which no file holds"):
        mp.rules.load(tmp_path / "rule.json", terms=[Slow])


def test_a_term_of_ones_own_never_passes_for_one_of_the_library(tmp_path):
    mine = type("Hebb", (Slow,), {"__module__": __name__})
    mp.rules.make([mine(jnp.float32(0.3), 2)]).save(tmp_path / "rule.json")
    with pytest.raises(ValueError, match="'Hebb' is a class of your own"):
        mp.rules.load(tmp_path / "rule.json")


def test_what_no_file_can_hold_is_refused(tmp_path):
    rule = mp.rules.make([Slow(jnp.tanh, 2)])
    with pytest.raises(ValueError, match=r"cannot be saved: terms\[0\].gain is a function|'gain' of Slow is not what"):
        rule.save(tmp_path / "rule.json")
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), mp.rules.f_bio())
    with pytest.raises(ValueError, match=r"save the rule of result.trial\(i\) or result.mean\(\)"):
        stacked.save(tmp_path / "rule.json")
    assert not list(tmp_path.iterdir())


def test_a_learned_rule_with_its_provenance_is_read_too(tmp_path):
    learned = mp.rules.describe("shervani2023/f_bio")
    (tmp_path / "rule.json").write_text(learned.as_json(), encoding="utf-8")
    assert same(mp.rules.load(tmp_path / "rule.json"), learned.rule())


def replaced(value, path, new):
    """A copy of a JSON value with another one at a path in it."""
    if not path:
        return new
    copy = list(value) if isinstance(value, list) else dict(value)
    copy[path[0]] = replaced(copy.get(path[0]) if isinstance(copy, dict) else copy[path[0]], path[1:], new)
    return copy


TERM, VALUES = ("rule", "terms", 0), ("rule", "coefficients", "values")
DAMAGED = [
    ((), [], "is not the file of a rule"),
    ((), None, "is not the file of a rule"),
    (("format",), "metaplax dream", "is not the file of a rule"),
    (("version",), None, "is not the file of a rule"),
    (("version",), 2, "written by a later version of metaplax"),
    (("rule",), None, "holds no rule"),
    (("rule",), {"class": "plasticity.Hebb"}, "holds no rule"),
    (("rule", "terms"), None, "'terms' of Rule"),
    (("rule", "terms"), [], "not one coefficient for each of its 0 terms"),
    (("rule", "wings"), 2, "unknown 'wings'"),
    (("rule", "held"), ["x"], "'x', which is none of its terms"),
    (("rule", "held"), ["bcm"], "whose values are missing"),
    (("rule", "active"), [[True]], "each layer of `active` needs one entry"),
    (("rule", "active"), [1], "'active' of Rule"),
    (("rule", "coefficients"), {"class": "plasticity.Rule"}, "plasticity.Rule has no 'terms'"),
    (("rule", "coefficients"), {"class": "plasticity.Hebb"}, "'coefficients' of Rule"),
    (TERM, {"class": "plasticity.Dream"}, "this version has no 'plasticity.Dream'"),
    (TERM, {"class": ["Hebb"]}, "this version has no"),
    (TERM, {"class": "plasticity.StepLimit"}, "'terms' of Rule"),
    (TERM, {"class": "os.system"}, "this version has no 'os.system'"),
    (TERM, {"class": "plasticity.AbstractTerm"}, "this version has no 'plasticity.AbstractTerm'"),
    (TERM, {"class": "system", "from": "os"}, "'system' is a class of your own, from 'os'"),
    (TERM, {"given": "x"}, "the term 'x' is a function"),
    (TERM, {"x": "x"}, "means nothing here"),
    (TERM, {}, "means nothing here"),
    (TERM, {"class": "plasticity.BCM"}, "plasticity.BCM has no 'log_tau'"),
    (TERM, {"class": "plasticity.BCM", "log_tau": 3.0}, "'log_tau' of BCM"),
    ((*TERM, "log_tau", "dtype"), "object", "numbers of its type and shape"),
    ((*TERM, "log_tau", "array"), "text", "numbers of its type and shape"),
    ((*TERM, "log_tau", "array"), {}, "numbers of its type and shape"),
    (VALUES, {"array": [0.1], "dtype": "float32", "shape": [1]}, "one coefficient for each of its 2 terms"),
    (VALUES, {"array": [0.1, 2.0], "dtype": "int32", "shape": [2]}, "'values' of GlobalCoefficients"),
    ((*VALUES, "shape"), [1, 2], "'values' of GlobalCoefficients"),
    ((*VALUES, "shape"), [3], "numbers of its type and shape"),
    ((*VALUES, "shape"), [-1], "numbers of its type and shape"),
    ((*VALUES, "array"), [True, 0.1], "numbers of its type and shape"),
    ((*VALUES, "array"), [10**400, 0.1], "numbers of its type and shape"),
    ((*VALUES, "array"), None, "numbers of its type and shape"),
    ((*VALUES, "more"), None, "an array has the entries"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "new", "message"), DAMAGED)
def test_damaged_and_foreign_entries(path, new, message, tmp_path):
    Rule((BCM(), Hebb()), shared([0.1, 0.2])).save(tmp_path / "rule.json")
    entry = replaced(json.loads((tmp_path / "rule.json").read_text()), path, new)
    (tmp_path / "rule.json").write_text(json.dumps(entry))
    with pytest.raises(ValueError, match=message) as caught:
        mp.rules.load(tmp_path / "rule.json")
    assert "rule.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\x00", b'{"a":' * 100_000, b'{"format": "metap', b"{}", b"3"])
def test_other_contents(content, tmp_path):
    (tmp_path / "rule.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"rule\.json.* is not the file of a"):
        mp.rules.load(tmp_path / "rule.json")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        mp.rules.load(tmp_path / "rule.json")
    os.mkfifo(tmp_path / "rule.json")
    with pytest.raises(ValueError, match="not a regular file"):
        mp.rules.load(tmp_path / "rule.json")


def test_a_rule_from_a_file_learns_as_before(tmp_path):
    learner = small.learner(rule=mp.rules.load("shervani2023/f_bio"))
    learner.rule.save(tmp_path / "rule.json")
    again = small.learner(rule=mp.rules.load(tmp_path / "rule.json"))
    run = eqx.filter_jit(lambda learner: learner.run(small.episode(), KEY)[0])
    assert run(learner) == run(again)
