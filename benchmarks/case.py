"""What is timed: one published network, learning online by one rule."""

from dataclasses import dataclass
from typing import Literal

from metaplax import data
from metaplax.feedback import RandomFixed, Symmetric
from metaplax.learners import OnlinePlasticity
from metaplax.networks import MLP
from metaplax.plasticity import rules
from metaplax.tasks import OnlineClassification

RuleName = Literal["bp", "fa", "f_bio", "pool"]


@dataclass(frozen=True)
class Case:
    """An online learner and its episodes; by default those of Shervani-Tabar & Rosenbaum (2023).

    Attributes:
        rule: backprop, feedback alignment, the three-term rule or all ten terms.
        sizes: neurons per layer, input first.
        ways: classes per episode.
        shots: images per class to learn from; ``ways * shots`` is the number of inner steps.
        queries: images per class to be scored on.
    """

    rule: RuleName = "f_bio"
    sizes: tuple[int, ...] = (784, 170, 130, 100, 70, 47)
    ways: int = 5
    shots: int = 50
    queries: int = 10

    @property
    def steps(self) -> int:
        """Inner steps per episode."""
        return self.ways * self.shots

    def learner(self) -> OnlinePlasticity:
        """The learner, at the start of meta-training."""
        rule = {"bp": rules.gradient, "fa": rules.gradient, "f_bio": rules.f_bio, "pool": rules.pool}[self.rule]()
        return OnlinePlasticity(MLP(self.sizes), rule, Symmetric() if self.rule == "bp" else RandomFixed())

    def task(self) -> OnlineClassification:
        """Episodes of built-in characters."""
        return OnlineClassification(data.glyphs(), self.ways, self.shots, self.queries)
