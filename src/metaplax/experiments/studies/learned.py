"""The base of studies that use what another study has meta-learned."""

from dataclasses import dataclass

import jax
from jaxtyping import PyTree

from metaplax.experiments.base import AbstractStudy, AbstractTraining, Conditions
from metaplax.experiments.studies.trials import operations_of_episode, size_of, size_of_episode
from metaplax.learners import AbstractLearner, split
from metaplax.plasticity import PrintedTerm
from metaplax.runs import fingerprint
from metaplax.tasks import AbstractTask
from metaplax.training import choose_layout


def learned_parameters(
    conditions: Conditions, origin: str, training: AbstractTraining, learner: AbstractLearner
) -> PyTree:
    """What the study called ``origin`` has meta-learned, as the meta-parameters of another learner.

    They have a leading axis of trials.
    """
    found = jax.tree.leaves(training.trained(conditions.sibling(origin), conditions.keys()))
    return jax.tree.unflatten(jax.tree.structure(split(learner)[0]), found)


@dataclass(frozen=True)
class AbstractLearnedStudy(AbstractStudy):
    """Uses what another study has meta-learned; every trial uses what its own meta-training has found.

    Attributes:
        origin: name of the study that meta-trains.
        training: that study.
        learner: the learner that takes over the meta-learned parameters; its own are ignored.
        task: distribution of episodes.
    """

    origin: str
    training: AbstractTraining
    learner: AbstractLearner
    task: AbstractTask

    @property
    def fingerprint(self) -> str:
        return f"{type(self).__name__} of {self.origin} on {fingerprint(self.learner)}"

    def check(self) -> None:
        self.learner.check(jax.eval_shape(self.task.sample, jax.random.key(0)), self.task.classes)

    def memory(self, trials: int) -> int:
        at_once = choose_layout(trials).at_once(trials, 1)
        return trials * size_of(lambda: split(self.learner)[0]) + at_once * size_of_episode(self.learner, self.task)

    def operations(self, trials: int) -> int:
        return trials * self.steps * operations_of_episode(self.learner, self.task)

    def printed(self) -> tuple[PrintedTerm, ...]:
        return self.learner.printed()

    def learned(self, conditions: Conditions) -> PyTree:
        """The meta-learned parameters, with a leading axis of trials."""
        return learned_parameters(conditions, self.origin, self.training, self.learner)

    @property
    def given(self) -> tuple[AbstractLearner, AbstractTask]:
        """What every trial is given: the learner, and the distribution of episodes."""
        return self.learner, self.task
