"""Beyond the paper: looking for a rule that is as short as the published one and better."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from metaplax.experiments.shervani2023.generalisation import AbstractHeldOut
from metaplax.experiments.shervani2023.online import LABELS
from metaplax.feedback import AbstractFeedback, ChainAndDirect, Direct, PlasticFeedback
from metaplax.plasticity import AbstractTerm, CentredGradient, ErrorHebb, Oja, PseudoGradient, Rule, rules

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

    episodes: int = 400
    safeguards: bool = True

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
