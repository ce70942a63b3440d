"""Studies that meta-train a learner, and what stands in for one that was not meta-trained."""

from dataclasses import dataclass

import equinox as eqx
import jax
import optax
from jaxtyping import Array, Key, PyTree

from metaplax.estimators import AbstractEstimator
from metaplax.experiments.base import AbstractTraining, Conditions
from metaplax.learners import AbstractLearner
from metaplax.optim import averaged_params
from metaplax.plasticity import PrintedTerm
from metaplax.runs import CheckpointError, FolderRecorder
from metaplax.tasks import AbstractTask
from metaplax.training import MetaTrained, meta_train, start


@dataclass(frozen=True)
class MetaTraining(AbstractTraining):
    """A learner is meta-trained, and what every episode gives is recorded.

    Attributes:
        learner: where to start.
        task: distribution of episodes.
        estimator: of the meta-gradient.
        optimizer: the outer optimiser; if it keeps an average of the parameters, that is what is found.
        meta_steps: number of meta-steps.
        ceiling: outer loss above which an episode has exploded.
        margin: how far the running mean of the loss may rise before the parameters go back.
        meta_batch: episodes per meta-step, whose meta-gradients are averaged.
    """

    learner: AbstractLearner
    task: AbstractTask
    estimator: AbstractEstimator
    optimizer: optax.GradientTransformation
    meta_steps: int
    ceiling: float = float("inf")
    margin: float = float("inf")
    meta_batch: int = 1

    @property
    def steps(self) -> int:
        return self.meta_steps

    @property
    def fingerprint(self) -> str:
        return eqx.tree_pformat(self.learner)

    def check(self) -> None:
        shapes = jax.eval_shape(self.task.sample, jax.random.key(0))
        self.learner.check(shapes, self.task.classes)
        self.estimator.check(self.learner)

    def conduct(self, conditions: Conditions) -> None:
        self.train(conditions)

    def train(self, conditions: Conditions) -> MetaTrained:
        """Meta-train, and give what was learned."""
        return meta_train(
            self.learner,
            self.task,
            self.estimator,
            self.optimizer,
            self.meta_steps,
            key=conditions.key,
            ceiling=self.ceiling,
            margin=self.margin,
            trials=conditions.trials,
            episodes=self.meta_batch,
            recorder=conditions.recorder,
            progress=conditions.progress,
            interruption=conditions.interruption,
        )

    def trained(self, recorder: FolderRecorder, keys: Key[Array, " trials"]) -> PyTree:
        before = start(self.learner, self.optimizer, keys)
        done, state = recorder.checkpoints.latest(before)
        if done < self.meta_steps:
            raise CheckpointError(
                f"{recorder.rule!r} is not meta-trained yet: {done} of {self.meta_steps} meta-steps are done"
            )
        average = averaged_params(state.optimizer)
        return state.parameters if average is None else average

    def printed(self) -> tuple[PrintedTerm, ...]:
        return self.learner.printed()


@dataclass(frozen=True)
class Untrained(AbstractTraining):
    """No meta-training at all: its parameters are those a learner starts with in each trial.

    Attributes:
        learner: whose parameters.
    """

    learner: AbstractLearner

    @property
    def steps(self) -> int:
        return 0

    @property
    def fingerprint(self) -> str:
        return f"untrained: {eqx.tree_pformat(self.learner)}"

    def check(self) -> None: ...

    def conduct(self, conditions: Conditions) -> None:
        conditions.recorder.finish(0, {})

    def trained(self, recorder: FolderRecorder, keys: Key[Array, " trials"]) -> PyTree:
        del recorder
        return start(self.learner, optax.identity(), keys).parameters
