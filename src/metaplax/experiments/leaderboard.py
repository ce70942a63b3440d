"""The accuracy of one given rule on classes that are held out: what rules are ranked by."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from metaplax.analysis import Quantity
from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, Load, config_errors
from metaplax.experiments.from_file import absolute, load_rule
from metaplax.experiments.presets import load_presets
from metaplax.experiments.registry import register
from metaplax.experiments.shervani2023.online import FEEDBACK, meta_training_classes
from metaplax.experiments.studies.meta_training import Untrained
from metaplax.experiments.studies.transfer import Transfer
from metaplax.learners import OnlinePlasticity
from metaplax.networks import MLP
from metaplax.runs import StudyDescription
from metaplax.tasks import OnlineClassification

SIZES = (784, 170, 130, 100, 70, 47)
HELD_OUT = 10
"""Number of classes that are scored; meta-training with ``held_out = 10`` sees all others."""

WAYS, SHOTS, QUERIES = 5, 50, 10
OWN = ("rule", "feedback")
"""Fields that an entry chooses; all others are the protocol."""


@register
@dataclass(frozen=True)
class Leaderboard(AbstractExperiment):
    """Score a rule with fixed coefficients on five of ten held-out classes, learned from 250 images in one pass.

    Nothing is tuned. The rule should have been meta-learned without the ten classes, as with held_out = 10 in the
    experiments that meta-learn rules. A run with other trials, episodes, seed or data than the defaults is no entry.

    Attributes:
        rule: a learned rule by name, FILE.json with one, or FILE.py:NAME, an object or a function that makes one.
        feedback: how errors reach the hidden layers; with symmetric feedback no rule is local.
        episodes: episodes that each trial is scored on.
    """

    name = "leaderboard"
    title = "A given rule on held-out classes, for the leaderboard"
    presets = load_presets(__file__, "leaderboard")

    seed: int = 1_000_003
    rule: str = "shervani2023/f_bio"
    feedback: Literal["random", "symmetric"] = "random"
    episodes: int = 20

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("episodes")
        object.__setattr__(self, "rule", absolute(self.rule))

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del load
        classes = len(data.class_names)
        held_out = {*range(classes)} - {*meta_training_classes(classes, HELD_OUT)}
        with config_errors():
            task = OnlineClassification(data, WAYS, SHOTS, QUERIES, allowed=tuple(sorted(held_out)))
        learner = OnlinePlasticity(MLP(SIZES), load_rule(self.rule), FEEDBACK[self.feedback]())
        return {"rule": Transfer("rule", Untrained(learner), learner, task, self.episodes)}

    def describe(self, study: str) -> StudyDescription:
        return StudyDescription(study, "", self.rule.rpartition("/")[2] if ":" in self.rule else self.rule, "")

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        accuracy = quantities["accuracy.rule"]
        found = f"{self.label('rule')} with {self.feedback} feedback: {accuracy.with_interval()}"
        changed = [it.name for it in fields(self) if it.name not in OWN and getattr(self, it.name) != it.default]
        if changed:
            return found, f"this is no entry of the leaderboard, whose protocol has other {', '.join(changed)}"
        return (found,)
