"""An experiment whose estimator carries inner states from meta-step to meta-step, for ``kill_and_resume.py``."""

from dataclasses import dataclass, replace
from typing import ClassVar

from metaplax.estimators import PersistentES
from metaplax.experiments import MetaTraining, OnlineRuleLearning


@dataclass(frozen=True)
class Windows(OnlineRuleLearning):
    """F_bio, meta-learned by persistent evolution strategies, on a third of an inner loop per meta-step."""

    name = "windows"
    title = "Meta-learning from windows of inner loops"
    arms = ("f_bio",)
    labels: ClassVar = {"f_bio": "F_bio"}

    data: str = "glyphs"

    def studies(self, data, load):
        found = super().studies(data, load)
        estimator = PersistentES(-(-self.shots * self.ways // 3), pairs=2, sd=1e-3)
        persistent = lambda it: replace(it, estimator=estimator, meta_batch=2) if isinstance(it, MetaTraining) else it  # noqa: E731
        return {name: persistent(study) for name, study in found.items()}
