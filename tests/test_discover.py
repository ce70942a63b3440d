"""The search for a rule beyond the paper's: what its candidates are, and what it says it has found."""

from dataclasses import dataclass

import pytest

from metaplax.analysis import Quantity
from metaplax.experiments.base import AbstractStudy, Conditions
from metaplax.experiments.shervani2023.discover import Discover
from metaplax.plasticity import PrintedTerm, Rule


@dataclass(frozen=True)
class Rules(AbstractStudy):
    """A study of which only the rule is of interest."""

    rule: Rule
    steps = 0
    fingerprint = ""

    def check(self) -> None: ...

    def conduct(self, conditions: Conditions) -> None: ...

    def printed(self) -> tuple[PrintedTerm, ...]:
        return self.rule.printed()


@pytest.mark.parametrize("arm", Discover.arms)
def test_candidates_have_the_terms_and_pathways_of_their_names(arm):
    experiment = Discover()
    names = {"two": ("c", "9"), "oja": ("0", "9"), "centred": ("c", "2", "9"), "bp": ("0",), "f": ("0", "2", "9")}
    assert tuple(term.name for term in experiment.rule(arm).terms) == names[arm.split("_")[0]]
    pathway = type(experiment.pathway(arm)).__name__
    expected = {"direct": "Direct", "both": "ChainAndDirect", "plastic": "PlasticFeedback", "bp": "Symmetric"}
    assert pathway == expected.get(arm.split("_")[-1], "RandomFixed")


def scored(**means: float) -> dict[str, Quantity]:
    """Accuracies of candidates on held-out classes, with intervals two points wide, and three coefficients each."""
    found = {}
    for arm in Discover.arms:
        mean = means.get(arm, 0.5)
        found[f"accuracy.{arm}.held_out"] = Quantity("", mean, mean - 0.01, mean + 0.01, 20, "fraction")
        for k, term in enumerate(Discover().rule(arm).terms):
            found[f"theta{term.name}.{arm}"] = Quantity("", 0.01 * (k + 1), 0.0, 1.0, 20, "1")
    return found


@pytest.mark.parametrize(
    ("means", "told"),
    [
        ({"f_bio": 0.69, "bp": 0.70, "two_direct": 0.73, "centred_direct": 0.78}, "two_direct"),
        ({"f_bio": 0.69, "bp": 0.76, "two_direct": 0.73, "centred_direct": 0.78}, "centred_direct"),
        ({"f_bio": 0.69, "bp": 0.70, "two_direct": 0.705}, None),
        ({"f_bio": 0.69, "bp": 0.80, "two_direct": 0.73}, None),
    ],
    ids=["the shortest", "above backprop too", "overlap", "below backprop"],
)
def test_what_was_discovered(means, told):
    experiment = Discover()
    studies = {arm: Rules(experiment.rule(arm)) for arm in Discover.arms}
    findings = experiment.findings(scored(**means), studies)
    if told is None:
        (finding,) = findings
        assert finding.startswith("no candidate is above F_bio with intervals apart")
    else:
        finding, best = findings
        assert f"best rule above three-term rule (F_bio) {means['f_bio']:.3g} [" in best
        assert experiment.label("centred_direct") in best
        assert f"is {experiment.label(told)} {means[told]:.3g} [{means[told] - 0.01:.3g}" in finding
        start = experiment.rule(told)
        numbers = tuple(0.01 * (k + 1) for k in range(len(start.terms)))
        assert finding.endswith(str(Rule(start.terms, start.coefficients.filled(numbers))))
