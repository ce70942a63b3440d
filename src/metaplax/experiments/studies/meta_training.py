"""Meta-trains a learner; or takes it as it starts, where nothing is meta-trained."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import jax
import optax
from jaxtyping import Array, Key, PyTree

from metaplax.estimators import AbstractEstimator
from metaplax.experiments.base import AbstractStudy, AbstractTraining, Conditions
from metaplax.experiments.studies.trials import operations_of_episode, size_of, size_of_episode
from metaplax.learners import AbstractLearner, split
from metaplax.optim import Evosax, averaged_params
from metaplax.plasticity import PrintedTerm
from metaplax.runs import CheckpointError, FolderRecorder, fingerprint
from metaplax.tasks import AbstractTask
from metaplax.training import (
    MetaState,
    MetaTrained,
    Rollback,
    Training,
    choose_layout,
    first_carried,
    initial_state,
    keys_of_trials,
    launch,
)  # fmt: skip
from metaplax.training.search_step import Optimizer, check_outer, runs_per_episode


@dataclass(frozen=True)
class MetaTraining(AbstractTraining):
    """A learner is meta-trained, and every meta-step is recorded.

    Attributes:
        learner: the learner.
        task: distribution of episodes.
        estimator: estimator of the meta-gradient; ``None`` for an optimiser that needs none.
        optimizer: the outer optimiser; if it keeps an average of the parameters, that is what is used elsewhere.
        meta_steps: number of meta-steps.
        rollback: when to go back to earlier meta-parameters, if ever.
        meta_batch: episodes per meta-step, whose meta-gradients are averaged.
        resample: whether every trial has a fresh start, or the learner as it is given.
        patience: give up after so many meta-steps in a row in which every episode exploded; ``None`` for never.
    """

    learner: AbstractLearner
    task: AbstractTask
    estimator: AbstractEstimator | None
    optimizer: Optimizer
    meta_steps: int
    rollback: Rollback | None = None
    meta_batch: int = 1
    resample: bool = True
    patience: int | None = 10

    @property
    def steps(self) -> int:
        return self.meta_steps

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.learner)

    @property
    def schedule(self) -> str:
        if isinstance(self.optimizer, Evosax):
            return fingerprint((self.learner, self.task, self.rollback, self.optimizer))
        parameters = jax.eval_shape(lambda: split(self.learner)[0])
        state = jax.eval_shape(self.optimizer.init, parameters)
        outer = jax.make_jaxpr(self.optimizer.update)(parameters, state, parameters)
        return f"{fingerprint((self.learner, self.task, self.rollback))} {outer} {outer.consts}"

    def check(self) -> None:
        shapes = jax.eval_shape(self.task.sample, jax.random.key(0))
        self.learner.check(shapes, self.task.classes)
        check_outer(self.learner, self.estimator, self.optimizer, shapes)

    def memory(self, trials: int) -> int:
        def start() -> PyTree:
            keys = keys_of_trials(jax.random.key(0), trials)
            return keys, self._start(keys)

        runs = self.meta_batch * runs_per_episode(self.optimizer)
        at_once = choose_layout(trials, runs).at_once(trials, runs)
        gradients = self.meta_batch * size_of(lambda: split(self.learner)[0])
        return size_of(start) + gradients + at_once * size_of_episode(self.learner, self.task)

    def operations(self, trials: int) -> int:
        return trials * self.meta_steps * self.meta_batch * operations_of_episode(self.learner, self.task)

    def _start(self, keys: Key[Array, " trials"]) -> MetaState:
        """The state before the first meta-step."""
        shapes = jax.eval_shape(self.task.sample, jax.random.key(0))
        carried = first_carried(self.estimator, self.learner, shapes, self.meta_batch)
        return initial_state(self.learner, self.optimizer, keys, self.resample, self.rollback, carried)

    def conduct(self, conditions: Conditions) -> None:
        self.train(conditions)

    def train(self, conditions: Conditions) -> MetaTrained:
        """Meta-train, from the recorder's last checkpoint on."""
        return launch([self.training(conditions)], "auto", conditions.progress, conditions.interruption)[0]

    def training(self, conditions: Conditions) -> Training:
        """The meta-training, which may be launched together with others."""
        return Training(
            self.learner, self.task, self.estimator, self.optimizer, self.meta_steps, conditions.key,
            conditions.recorder, conditions.trials, self.meta_batch, self.resample, self.patience, self.rollback,
        )  # fmt: skip

    def trained(self, recorder: FolderRecorder, keys: Key[Array, " trials"]) -> PyTree:
        done, state = recorder.checkpoints.latest(self._start(keys))
        if done < self.meta_steps:
            raise CheckpointError(
                f"{recorder.study!r} is not meta-trained yet: {done} of {self.meta_steps} meta-steps are done"
            )
        average = averaged_params(state.optimizer)
        return state.parameters if average is None else average

    def printed(self) -> tuple[PrintedTerm, ...]:
        return self.learner.printed()


def in_one_launch(
    studies: Mapping[str, AbstractStudy], conditions: Mapping[str, Conditions]
) -> Iterator[dict[str, Training]]:
    """Meta-trainings by the names of their studies, those together whose programs differ in their numbers only."""
    if jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        # Stacked numbers would take part in double precision, where those of one arm take the type of what they meet.
        return
    found: dict[str, dict[str, Training]] = {}
    for name, given in conditions.items():
        # What is derived from one, and what measures itself, is conducted alone.
        if type(study := studies[name]) is MetaTraining:
            training = study.training(given)
            text = training.program()
            # Programs that call Python look alike although they call different functions.
            if "callback" not in text:
                found.setdefault(text, {})[name] = training
    yield from (group for group in found.values() if len(group) > 1)


@dataclass(frozen=True)
class Untrained(AbstractTraining):
    """No meta-training at all: the parameters are those that the learner starts with in every trial."""

    learner: AbstractLearner

    @property
    def steps(self) -> int:
        return 0

    @property
    def fingerprint(self) -> str:
        return f"untrained: {fingerprint(self.learner)}"

    def check(self) -> None: ...

    def conduct(self, conditions: Conditions) -> None:
        conditions.recorder.finish(0, {})

    def trained(self, recorder: FolderRecorder, keys: Key[Array, " trials"]) -> PyTree:
        del recorder
        return initial_state(self.learner, optax.identity(), keys, True).parameters
