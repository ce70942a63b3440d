"""The search for a rule beyond the paper's: what its candidates are, and what it says it has found."""

from dataclasses import dataclass

import numpy as np
import pytest

from metaplax.analysis import Quantity, over_trials
from metaplax.data import glyphs
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


NOISE = np.linspace(-0.01, 0.01, 20)


def scored(held_out: float = 0.0, spread: float = 0.0, **means: float) -> dict[str, Quantity]:
    """Accuracies on validation classes and, lower by ``held_out``, on held-out ones; three coefficients each."""
    found = {}
    for number, arm in enumerate(Discover.arms):
        values = means.get(arm, 0.5) + NOISE + spread * (-1) ** np.arange(20) * number
        for condition, offset in (("validation", 0.0), ("held_out", held_out)):
            name = f"accuracy.{arm}.{condition}"
            found[name] = over_trials(name, values - offset, "fraction")
        for k, term in enumerate(Discover().rule(arm).terms):
            found[f"theta{term.name}.{arm}"] = Quantity("", 0.01 * (k + 1), 0.0, 1.0, 20, "1")
    return found


def findings(quantities: dict[str, Quantity]) -> tuple[str, ...]:
    experiment = Discover()
    return experiment.findings(quantities, {arm: Rules(experiment.rule(arm)) for arm in Discover.arms})


@pytest.mark.parametrize(
    ("means", "told"),
    [
        ({"f_bio": 0.69, "bp": 0.70, "two_direct": 0.73, "centred_direct": 0.78}, "two_direct"),
        ({"f_bio": 0.69, "bp": 0.76, "two_direct": 0.73, "centred_direct": 0.78}, "centred_direct"),
        # Intervals overlap, and differences trial by trial show what they do not.
        ({"f_bio": 0.69, "bp": 0.69, "two_direct": 0.695}, "two_direct"),
    ],
    ids=["the shortest", "above backprop too", "paired"],
)
def test_what_was_discovered(means, told):
    experiment = Discover()
    shortest, best = findings(scored(held_out=0.1, spread=1e-4, **means))
    top = max(means, key=means.__getitem__)
    assert best.startswith("the best rule, chosen from 9 candidates on 8 validation classes, has on held-out classes")
    assert experiment.label(top) in best
    # What is reported is what it has on the other classes.
    assert f"{experiment.label(told)} {means[told] - 0.1:.3g} [" in shortest
    lead = means[told] - means["f_bio"]
    assert f"paired lead is over three-term rule (F_bio) {lead:.3g} [" in shortest
    start = experiment.rule(told)
    numbers = tuple(0.01 * (k + 1) for k in range(len(start.terms)))
    assert shortest.endswith(str(Rule(start.terms, start.coefficients.filled(numbers))))


@pytest.mark.parametrize(
    ("means", "spread"),
    [({"f_bio": 0.69, "bp": 0.80, "two_direct": 0.73}, 0.0), ({"f_bio": 0.69, "bp": 0.69, "two_direct": 0.70}, 0.02)],
    ids=["below backprop", "not shown"],
)
def test_nothing_was_discovered(means, spread):
    (finding,) = findings(scored(spread=spread, **means))
    assert finding.startswith("no candidate is shown to be ahead of both F_bio and BP on validation classes")


def test_rules_are_chosen_on_classes_that_are_neither_meta_trained_on_nor_reported():
    load = lambda name, split=None: data  # noqa: E731
    data, experiment = glyphs(3), Discover(shots=1, queries=1, data="glyphs", safeguards=False)
    tasks = {name: task for name, (task, _) in experiment.elsewhere(data, load).items()}
    assert set(tasks) == {"validation", "held_out"}
    classes = [
        set(np.asarray(task.bank.labels).tolist())
        for task in (experiment.task(data), tasks["validation"], tasks["held_out"])
    ]
    assert [len(those) for those in classes] == [29, 8, 10]
    assert set.union(*classes) == set(range(47))
    studies = experiment.studies(data, load)
    # Learning rates are tuned on them, too.
    assert {*np.asarray(studies["bp.held_out"].tuning_task.bank.labels).tolist()} == classes[1]
    assert len(studies["bp.held_out"].factors) > 1
