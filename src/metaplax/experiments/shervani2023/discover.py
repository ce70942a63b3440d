"""Beyond the paper: searches for a rule that is as short as the published one and better."""

from collections.abc import Mapping
from dataclasses import dataclass

from metaplax import feedback, plasticity
from metaplax.analysis import Quantity
from metaplax.experiments.base import AbstractStudy
from metaplax.experiments.presets import load_presets, load_settings
from metaplax.experiments.shervani2023.generalisation import AbstractHeldOut
from metaplax.experiments.shervani2023.online import LABELS
from metaplax.feedback import AbstractFeedback
from metaplax.plasticity import Rule, as_text, rules


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
    """Candidate rules, meta-trained on the same episodes and scored on classes that meta-training never saw."""

    name = "shervani2023/discover"
    title = "Rules beyond the paper's"
    arms = ("bp", "f_bio", *CANDIDATES)
    labels = LABELS["rules"] | {arm: candidate.label for arm, candidate in CANDIDATES.items()}
    presets = load_presets(__file__, "discover")

    meta_steps: int = 400
    safeguards: bool = True

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        scores = {arm: quantities[f"accuracy.{arm}.held_out"] for arm in self.arms}

        def told(arm: str) -> str:
            return f"{self.label(arm)} {scores[arm].with_interval()}"

        rivals = " and ".join(map(told, RIVALS))
        better = [
            arm
            for arm in scores
            if arm not in RIVALS
            and scores[arm].ci_low > scores["f_bio"].ci_high
            and all(scores[arm].mean >= scores[rival].mean for rival in RIVALS)
        ]
        best = max(better or scores, key=lambda arm: scores[arm].mean)
        if not better:
            return (
                "no candidate is above F_bio with intervals apart and not below BP on held-out classes; the best is"
                f" {told(best)}, beside {rivals}",
            )
        shortest = min(better, key=lambda arm: (len(coefficients(arm, quantities)), -scores[arm].mean))
        return tuple(
            f"the {what} rule above {rivals} on held-out classes is {told(arm)}: {learned(arm, quantities, studies)}"
            for what, arm in {"shortest": shortest, "best": best}.items()
        )

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
