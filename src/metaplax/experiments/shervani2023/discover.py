"""Beyond the paper: searches for a rule that is as short as the published one and better.

Rules are chosen on validation classes, which are neither meta-trained on nor reported, and reported on held-out
classes, which have no part in the choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from metaplax import feedback, plasticity
from metaplax.analysis import Difference, Quantity, paired_difference
from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractStudy, Load
from metaplax.experiments.presets import load_presets, load_settings
from metaplax.experiments.shervani2023.generalisation import AbstractHeldOut
from metaplax.experiments.shervani2023.online import LABELS, meta_training_classes
from metaplax.feedback import AbstractFeedback
from metaplax.plasticity import Rule, as_text, rules
from metaplax.tasks import OnlineClassification


@dataclass(frozen=True)
class Candidate:
    """A rule and a feedback pathway that may be better than the published ones.

    Attributes:
        label: what figures and tables call it.
        terms: classes of the terms of the rule.
        feedback: class of the feedback pathway; by default the one of the experiment.
        per_layer: whether every layer has coefficients of its own.
    """

    label: str
    terms: tuple[str, ...]
    feedback: str = ""
    per_layer: bool = False


RIVALS = ("f_bio", "bp")
CANDIDATES = load_settings(__file__, "candidates.toml", Candidate)["candidates"]


@dataclass(frozen=True)
class Discover(AbstractHeldOut):
    """Candidate rules, meta-trained on the same episodes and scored on classes that meta-training never saw.

    Attributes:
        validation: number of further classes that meta-training never sees, to choose rules and learning rates on.
    """

    name = "shervani2023/discover"
    title = "Rules beyond the paper's"
    arms = ("bp", "f_bio", *CANDIDATES)
    labels = LABELS["rules"] | {arm: candidate.label for arm, candidate in CANDIDATES.items()}
    presets = load_presets(__file__, "discover")

    meta_steps: int = 400
    safeguards: bool = True
    validation: int = 8

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("validation")

    def task(self, data: ImageSet) -> OnlineClassification:
        return self.episodes_of(data, meta_training_classes(len(data.class_names), self.held_out + self.validation))

    def tuning_task(self, data: ImageSet) -> OnlineClassification:
        seen, more = (
            {*meta_training_classes(len(data.class_names), self.held_out + further)} for further in (self.validation, 0)
        )
        return self.episodes_of(data, tuple(sorted(more - seen)))

    def elsewhere(self, data: ImageSet, load: Load) -> dict[str, tuple[OnlineClassification, tuple[int, ...]]]:
        return {"validation": (self.tuning_task(data), self.sizes), **super().elsewhere(data, load)}

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        def told(arm: str) -> str:
            return f"{self.label(arm)} {quantities[f'accuracy.{arm}.held_out'].with_interval()}"

        def ahead(arm: str, rival: str, condition: str) -> Difference:
            first, second = (quantities[f"accuracy.{one}.{condition}"].values for one in (arm, rival))
            return paired_difference(first, second)

        rivals = " and ".join(map(told, RIVALS))
        chosen_on = f"chosen from {len(CANDIDATES)} candidates on {self.validation} validation classes"
        better = [
            arm
            for arm in CANDIDATES
            if all((lead := ahead(arm, rival, "validation")).shown and lead.mean > 0 for rival in RIVALS)
        ]
        if not better:
            return (
                f"no candidate is shown to be ahead of both F_bio and BP on validation classes; held out: {rivals}",
            )
        on_validation = {arm: quantities[f"accuracy.{arm}.validation"].mean for arm in better}
        shortest = min(better, key=lambda arm: (len(coefficients(arm, quantities)), -on_validation[arm]))
        picked = {"shortest": shortest, "best": max(better, key=on_validation.__getitem__)}
        found = []
        for what, arm in picked.items():
            leads = [f"{self.label(rival)} {ahead(arm, rival, 'held_out')}" for rival in RIVALS]
            found.append(
                f"the {what} rule, {chosen_on}, has on held-out classes {told(arm)}, beside {rivals}; its paired lead"
                f" is over {' and over '.join(leads)}: {learned(arm, quantities, studies)}"
            )
        return tuple(found)

    def rule(self, arm: str) -> Rule:
        if arm not in CANDIDATES:
            return super().rule(arm)
        terms = [getattr(plasticity, name)() for name in CANDIDATES[arm].terms]
        return rules.make(terms, "layer" if CANDIDATES[arm].per_layer else self.sharing, self.sizes)

    def pathway(self, arm: str) -> AbstractFeedback:
        name = CANDIDATES[arm].feedback if arm in CANDIDATES else ""
        return getattr(feedback, name)() if name else super().pathway(arm)


def coefficients(arm: str, quantities: Mapping[str, Quantity]) -> tuple[str, ...]:
    """Names of the coefficients of a rule, and of its feedback pathway."""
    kinds = ("theta", "gain", "feedback")
    return tuple(name for name in quantities if name.startswith(kinds) and name.endswith(f".{arm}"))


def learned(arm: str, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> str:
    """The rule of an arm as an equation, with its coefficients if all layers share them, and those of its feedback."""
    terms = studies[arm].printed()
    values = [quantities.get(f"theta{term.name}.{arm}") for term in terms]
    equation = as_text(terms, [value.mean for value in values if value] if all(values) else None)
    of_feedback = [name for name in coefficients(arm, quantities) if not name.startswith("theta")]
    told = [f"{name.removesuffix(f'.{arm}').replace('_', ' ')} {quantities[name].mean:.3g}" for name in of_feedback]
    return "; ".join([equation, *told])
