"""Beyond the paper: looking for a rule that is as short as the published one and better."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from metaplax.analysis import Quantity
from metaplax.experiments.base import AbstractStudy
from metaplax.experiments.shervani2023.generalisation import AbstractHeldOut
from metaplax.experiments.shervani2023.online import LABELS
from metaplax.feedback import AbstractFeedback, ChainAndDirect, Direct, PlasticFeedback
from metaplax.plasticity import AbstractTerm, CentredGradient, ErrorHebb, Oja, PseudoGradient, Rule, as_text, rules

TERMS: dict[str, tuple[type[AbstractTerm], ...]] = {
    "f_bio": (PseudoGradient, ErrorHebb, Oja),
    "centred": (CentredGradient, ErrorHebb, Oja),
    "two": (CentredGradient, Oja),
    "oja": (PseudoGradient, Oja),
}
FEEDBACK: dict[str, Callable[[], AbstractFeedback]] = {
    "direct": Direct,
    "both": ChainAndDirect,
    "plastic": PlasticFeedback,
}


@dataclass(frozen=True)
class Discover(AbstractHeldOut):
    """Candidate rules, meta-trained on the same episodes and scored on classes that meta-training never saw.

    Candidates are named ``terms``, ``terms_pathway`` or ``terms_layer``, see ``TERMS`` and ``FEEDBACK``."""

    name = "shervani2023/discover"
    title = "Rules beyond the paper's"
    arms = (
        "bp",
        "f_bio",
        "f_bio_direct",
        "centred_direct",
        "two_direct",
        "oja_direct",
        "centred",
        "two",
        "f_bio_layer",
        "centred_both",
        "centred_plastic",
    )
    labels: ClassVar[Mapping[str, str]] = {
        **LABELS,
        "f_bio_layer": "F_bio, coefficients per layer",
        "f_bio_direct": "F_bio, direct feedback",
        "centred": "centred gradient, eHebb, Oja",
        "two": "centred gradient, Oja",
        "centred_direct": "centred gradient, eHebb, Oja; direct feedback",
        "oja_direct": "gradient, Oja; direct feedback",
        "two_direct": "centred gradient, Oja; direct feedback",
        "centred_both": "centred gradient, eHebb, Oja; chain and direct feedback, learned gains",
        "centred_plastic": "centred gradient, eHebb, Oja; feedback that learns",
    }

    meta_steps: int = 400
    safeguards: bool = True

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        scores = {arm: quantities[f"accuracy.{arm}.held_out"] for arm in self.arms}
        rivals = {arm: scores[arm] for arm in ("f_bio", "bp") if arm in scores}
        better = [
            arm
            for arm, score in scores.items()
            if arm not in rivals
            and score.ci_low > rivals["f_bio"].ci_high
            and all(score.mean >= rival.mean for rival in rivals.values())
        ]
        told = " and ".join(f"{self.label(arm)} {told_interval(score)}" for arm, score in rivals.items())
        if not better:
            best = max(scores, key=lambda arm: scores[arm].mean)
            return (
                "no candidate is above F_bio with intervals apart and not below BP on held-out classes; the best is"
                f" {self.label(best)} {told_interval(scores[best])}, beside {told}",
            )
        shortest = min(better, key=lambda arm: (len(coefficients(arm, quantities)), -scores[arm].mean))
        best = max(better, key=lambda arm: scores[arm].mean)
        return tuple(
            f"the {what} rule above {told} on held-out classes is {self.label(arm)} {told_interval(scores[arm])}:"
            f" {learned(arm, quantities, studies)}"
            for what, arm in {"shortest": shortest, "best": best}.items()
        )

    def rule(self, arm: str) -> Rule:
        terms, _, variant = arm.partition("_") if not arm.startswith("f_bio") else ("f_bio", "", arm[6:])
        if terms not in TERMS:
            return super().rule(arm)
        return rules.make(
            [term() for term in TERMS[terms]], "layer" if variant == "layer" else self.sharing, self.sizes
        )

    def pathway(self, arm: str) -> AbstractFeedback:
        variant = arm.rpartition("_")[2]
        return FEEDBACK[variant]() if variant in FEEDBACK else super().pathway(arm)


def told_interval(quantity: Quantity) -> str:
    """Mean and interval."""
    return f"{quantity.mean:.3f} [{quantity.ci_low:.3f}, {quantity.ci_high:.3f}]"


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
