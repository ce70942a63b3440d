"""Beyond the paper: searches for a rule that is as short as the published one and better."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from metaplax.analysis import Quantity
from metaplax.experiments.base import AbstractStudy
from metaplax.experiments.presets import load_presets
from metaplax.experiments.shervani2023.generalisation import AbstractHeldOut
from metaplax.experiments.shervani2023.online import LABELS
from metaplax.feedback import AbstractFeedback, ChainAndDirect, Direct, PlasticFeedback
from metaplax.plasticity import AbstractTerm, CentredGradient, ErrorHebb, Oja, PseudoGradient, Rule, as_text, rules

F_BIO = (PseudoGradient, ErrorHebb, Oja)
CENTRED = (CentredGradient, ErrorHebb, Oja)
TWO = (CentredGradient, Oja)


@dataclass(frozen=True)
class Candidate:
    """A rule and a feedback pathway that may be better than the published ones.

    Attributes:
        label: what figures and tables call it.
        terms: terms of the rule.
        feedback: the feedback pathway; by default the one of the experiment.
        per_layer: whether every layer has coefficients of its own.
    """

    label: str
    terms: tuple[type[AbstractTerm], ...]
    feedback: type[AbstractFeedback] | None = None
    per_layer: bool = False


CANDIDATES = {
    "f_bio_direct": Candidate("F_bio, direct feedback", F_BIO, Direct),
    "centred_direct": Candidate("centred gradient, eHebb, Oja; direct feedback", CENTRED, Direct),
    "two_direct": Candidate("centred gradient, Oja; direct feedback", TWO, Direct),
    "oja_direct": Candidate("gradient, Oja; direct feedback", (PseudoGradient, Oja), Direct),
    "centred": Candidate("centred gradient, eHebb, Oja", CENTRED),
    "two": Candidate("centred gradient, Oja", TWO),
    "f_bio_layer": Candidate("F_bio, coefficients per layer", F_BIO, per_layer=True),
    "centred_both": Candidate(
        "centred gradient, eHebb, Oja; chain and direct feedback, learned gains", CENTRED, ChainAndDirect
    ),
    "centred_plastic": Candidate("centred gradient, eHebb, Oja; feedback that learns", CENTRED, PlasticFeedback),
}


@dataclass(frozen=True)
class Discover(AbstractHeldOut):
    """Candidate rules, meta-trained on the same episodes and scored on classes that meta-training never saw."""

    name = "shervani2023/discover"
    title = "Rules beyond the paper's"
    arms = ("bp", "f_bio", *CANDIDATES)
    labels: ClassVar[Mapping[str, str]] = {**LABELS, **{arm: found.label for arm, found in CANDIDATES.items()}}
    presets = load_presets(__file__, "discover")

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
        if arm not in CANDIDATES:
            return super().rule(arm)
        candidate = CANDIDATES[arm]
        sharing = "layer" if candidate.per_layer else self.sharing
        return rules.make([term() for term in candidate.terms], sharing, self.sizes)

    def pathway(self, arm: str) -> AbstractFeedback:
        candidate = CANDIDATES.get(arm)
        return candidate.feedback() if candidate and candidate.feedback else super().pathway(arm)


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
