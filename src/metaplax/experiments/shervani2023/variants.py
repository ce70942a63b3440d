"""What the rules of the paper owe to their last layer, to shared coefficients and to where weights start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import equinox as eqx

from metaplax.analysis import Quantity, per_trial
from metaplax.experiments.pairs import difference_findings, differences
from metaplax.experiments.presets import load_presets
from metaplax.experiments.shervani2023.online import LABELS, OnlineRuleLearning
from metaplax.feedback import AbstractFeedback, Symmetric
from metaplax.learners import PlasticLearner
from metaplax.networks import MLP
from metaplax.plasticity import Rule, rules


@dataclass(frozen=True)
class Variants(OnlineRuleLearning):
    """F_bio without its further terms in the last layer and with coefficients per layer; Oja's rule beside backprop.

    Attributes:
        poor_gain: factor of the initial weights in arms that start poorly.
    """

    name = "shervani2023/variants"
    title = "The last layer, coefficients per layer, and poor initial weights"
    arms = ("f_bio", "f_bio_hidden", "f_bio_layers", "bp", "bp_oja", "bp_poor", "bp_oja_poor")
    labels = LABELS["variants"]
    presets = load_presets(__file__, "variants")
    compared: ClassVar = (
        ("f_bio_hidden", "f_bio"), ("f_bio_layers", "f_bio"), ("bp_oja", "bp"), ("bp_oja_poor", "bp_poor"),
    )  # fmt: skip

    poor_gain: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("poor_gain")

    def rule(self, arm: str) -> Rule:
        if arm.startswith("bp"):
            return rules.oja(self.sharing, self.sizes) if "oja" in arm else rules.gradient(self.sharing, self.sizes)
        rule = rules.f_bio("layer" if arm == "f_bio_layers" else self.sharing, self.sizes)
        if arm != "f_bio_hidden":
            return rule
        hidden, last = (True,) * len(rule.terms), (True, *(False,) * (len(rule.terms) - 1))
        return replace(rule, active=(*(hidden,) * (len(self.sizes) - 2), last))

    def pathway(self, arm: str) -> AbstractFeedback:
        return Symmetric() if arm.startswith("bp") else super().pathway(arm)

    def learner(self, arm: str) -> PlasticLearner:
        gain = self.poor_gain if arm.endswith("poor") else 1.0
        return eqx.tree_at(lambda it: it.network, super().learner(arm), MLP(self.sizes, gain=gain))

    def further_quantities(self, rows: Sequence[Mapping[str, Any]]) -> list[Quantity]:
        options, descriptions = self.report_options(), {arm: self.describe(arm) for arm in self.arms}
        return differences(per_trial(rows, descriptions, options), self.compared, options.loss_unit)

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(difference_findings(quantities, self.compared, self.label))
