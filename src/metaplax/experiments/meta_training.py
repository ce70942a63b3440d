"""Studies that meta-train a learner."""

from dataclasses import dataclass

import equinox as eqx
import jax
import optax

from metaplax.estimators import AbstractEstimator
from metaplax.experiments.base import AbstractStudy, Conditions
from metaplax.learners import AbstractLearner
from metaplax.plasticity import PrintedTerm
from metaplax.tasks import AbstractTask
from metaplax.training import meta_train


@dataclass(frozen=True)
class MetaTraining(AbstractStudy):
    """A learner is meta-trained, and what every episode gives is recorded.

    Attributes:
        learner: where to start.
        task: distribution of episodes.
        estimator: of the meta-gradient.
        optimizer: the outer optimiser.
        episodes: number of meta-steps.
    """

    learner: AbstractLearner
    task: AbstractTask
    estimator: AbstractEstimator
    optimizer: optax.GradientTransformation
    episodes: int

    @property
    def steps(self) -> int:
        return self.episodes

    @property
    def fingerprint(self) -> str:
        return eqx.tree_pformat(self.learner)

    def check(self) -> None:
        shapes = jax.eval_shape(self.task.sample, jax.random.key(0))
        self.learner.check(shapes, self.task.classes)
        self.estimator.check(self.learner)

    def conduct(self, conditions: Conditions) -> None:
        meta_train(
            self.learner,
            self.task,
            self.estimator,
            self.optimizer,
            self.episodes,
            key=conditions.key,
            trials=conditions.trials,
            journal=conditions.journal,
            progress=conditions.progress,
            interruption=conditions.interruption,
        )

    def printed(self) -> tuple[PrintedTerm, ...]:
        return self.learner.printed()
