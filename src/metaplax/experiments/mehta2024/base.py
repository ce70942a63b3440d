"""What the experiments of this paper share: how a rule is fitted, and how it is scored."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import optax

from metaplax.estimators import Reverse
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, AbstractTraining
from metaplax.experiments.studies.meta_training import MetaTraining
from metaplax.experiments.studies.replay_scores import ReplayScores
from metaplax.learners import PlasticLearner
from metaplax.optim import full_matrix_adam
from metaplax.runs import ReportOptions
from metaplax.tasks import Simulations

PAPER = "Mehta et al. (2024)"


@dataclass(frozen=True)
class AbstractInference(AbstractExperiment):
    """A rule is inferred from simulated experiments, and scored on further ones.

    Attributes:
        meta_steps: steps of the outer optimiser.
        meta_batch: trajectories per step.
        rate: its learning rate at the start, from where it falls to zero along half a cosine.
        optimizer: full-matrix Adam, which turns and scales the space of coefficients, or Adam as published.
        penalty: factor of the L1 penalty on coefficients; a network as a rule has none.
        held_out: further experiments to score the rule on.
    """

    source: ClassVar[str] = PAPER
    loss_unit: ClassVar[str] = "squared activity"

    data: str = "none"
    meta_steps: int = 2000
    meta_batch: int = 1
    rate: float = 0.01
    optimizer: Literal["full-matrix", "adam"] = "full-matrix"
    penalty: float = 1e-6
    held_out: int = 5

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("meta_steps", "meta_batch", "rate", "held_out")
        self.require_not_negative("penalty")

    def report_options(self) -> ReportOptions:
        headline = ("explained", "r2_weights", "r2_activity", "loss")
        return ReportOptions(1, axis="meta-step", headline=headline, loss_unit=self.loss_unit)

    def fitted(self, learner: PlasticLearner, task: Simulations) -> MetaTraining:
        """The fit of a rule to experiments."""
        schedule = optax.cosine_decay_schedule(self.rate, self.meta_steps)
        optimizer = full_matrix_adam(schedule) if self.optimizer == "full-matrix" else optax.adam(schedule)
        return MetaTraining(learner, task, Reverse(), optimizer, self.meta_steps, meta_batch=self.meta_batch)

    def scored(
        self, arm: str, training: AbstractTraining, learner: PlasticLearner, task: Simulations, teacher: PlasticLearner
    ) -> dict[str, AbstractStudy]:
        """The fit of one arm, and its scores on further experiments."""
        return {arm: training, f"{arm}.held_out": ReplayScores(arm, training, learner, task, teacher)}
