"""Meta-trains a learner until its task is solved; or makes the task harder whenever it is, until it is at its hardest.

Trials end at different steps: one that has ended stays as it is while the others go on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from metaplax.estimators import AbstractEstimator, Reverse
from metaplax.experiments.base import AbstractTraining, Conditions
from metaplax.experiments.studies.trials import conduct_trials, operations_of_episode, size_of
from metaplax.learners import AbstractLearner, join, split
from metaplax.plasticity import PrintedTerm
from metaplax.runs import CheckpointError, FolderRecorder, fingerprint
from metaplax.tasks import AbstractTask
from metaplax.training import choose_layout, resample_key


@dataclass(frozen=True)
class Levels:
    """How hard a task is at first and at last, and when a level is solved.

    Attributes:
        name: what the level is called in what is recorded.
        first: the first level.
        last: the last one; the same as the first one for a task that does not become harder.
        every: updates between two accuracies.
        window: how many accuracies decide, the last ones.
        mark: their mean at which a level is solved.
        fewest: updates at least at every level.
    """

    name: str
    first: int
    last: int
    every: int = 10
    window: int = 5
    mark: float = 0.998
    fewest: int = 50


class Progress(eqx.Module):
    """State of a meta-training.

    Attributes:
        parameters: meta-parameters.
        optimizer: state of the outer optimiser.
        level: that of the episodes; the first one that is not solved.
        updates: how many there were so far.
        since: how many there were at this level.
        accuracies: the last ones, each of the episode just before an update.
        loss: of the last episode.
        finished: whether nothing changes any more.
    """

    parameters: PyTree
    optimizer: PyTree
    level: Int[Array, ""]
    updates: Int[Array, ""]
    since: Int[Array, ""]
    accuracies: Float[Array, " window"]
    loss: Float[Array, ""]
    finished: Bool[Array, ""]


@dataclass(frozen=True)
class UntilSolved(AbstractTraining):
    """One episode per update, until the last level is solved; a row is recorded with every accuracy that decides.

    The final row holds the first level that is not solved, the updates, and whether the last level is solved.

    Attributes:
        learner: the learner, whose episodes have an accuracy.
        task: distribution of episodes.
        optimizer: the outer optimiser.
        levels: how hard the task is, and when it is solved.
        most: updates at most.
        harder: the task at a level, which the compiled program computes.
        draw: the learner at the start of a trial, from a key.
        told: what is recorded of a learner beside its own numbers.
        estimator: estimator of the meta-gradient.
    """

    learner: AbstractLearner
    task: AbstractTask
    optimizer: optax.GradientTransformation
    levels: Levels
    most: int
    harder: Callable[[Any, Int[Array, ""]], AbstractTask]
    draw: Callable[[Any, Key[Array, ""]], AbstractLearner] = lambda learner, key: learner.resample(key)
    told: Callable[[Any], dict[str, Array]] = lambda learner: {}
    estimator: AbstractEstimator = field(default_factory=Reverse)

    @property
    def steps(self) -> int:
        return -(-self.most // self.levels.every)

    @property
    def fingerprint(self) -> str:
        parameters = jax.eval_shape(lambda: split(self.learner)[0])
        state = jax.eval_shape(self.optimizer.init, parameters)
        outer = jax.make_jaxpr(self.optimizer.update)(parameters, state, parameters)
        return f"{fingerprint((self.learner, self.task, self.levels, self.estimator))} {outer} {outer.consts}"

    def check(self) -> None:
        self.learner.check(jax.eval_shape(self.task.sample, jax.random.key(0)), self.task.classes)

    def memory(self, trials: int) -> int:
        stream = jax.eval_shape(self.task.sample, jax.random.key(0)).support
        states = len(jax.tree.leaves(stream)[0]) * size_of(lambda: self.learner.init(jax.random.key(0)))
        at_once = choose_layout(trials).at_once(trials, 1)
        return trials * size_of(lambda: self._begin(jax.random.key(0))) + at_once * states

    def operations(self, trials: int) -> int:
        return trials * self.levels.fewest * operations_of_episode(self.learner, self.task)

    def _begin(self, key: Key[Array, ""]) -> Progress:
        parameters = split(self.draw(self.learner, resample_key(key)))[0]
        return Progress(
            parameters, self.optimizer.init(parameters), jnp.int32(self.levels.first), jnp.int32(0), jnp.int32(0),
            jnp.zeros(self.levels.window), jnp.zeros(()), jnp.array(False),
        )  # fmt: skip

    def conduct(self, conditions: Conditions) -> None:
        levels = self.levels

        def one_trial(given, index, state: Progress, key):
            learner, task = given
            constants, task = split(learner)[1], self.harder(task, state.level)

            def update(number, carried):
                parameters, memory, _, _ = carried
                task_key, learner_key = jax.random.split(jax.random.fold_in(key, index * levels.every + number))
                learner = join(parameters, constants)
                found = self.estimator.value_and_grad(learner, task.sample(task_key), learner_key)
                step, memory = self.optimizer.update(found.gradient, memory, parameters)
                return optax.apply_updates(parameters, step), memory, found.loss, found.metrics["accuracy"]

            def several(state: Progress) -> Progress:
                start = state.parameters, state.optimizer, state.loss, state.loss
                parameters, memory, loss, accuracy = jax.lax.fori_loop(0, levels.every, update, start)
                accuracies = jnp.append(state.accuracies[1:], accuracy)
                since = state.since + levels.every
                is_solved = (since >= levels.fewest) & (jnp.mean(accuracies) >= levels.mark - 1e-6)
                level = state.level + is_solved
                since, updates = jnp.where(is_solved, 0, since), state.updates + levels.every
                return Progress(parameters, memory, level, updates, since, accuracies, loss, level > levels.last)

            state = jax.lax.cond(state.finished, lambda state: state, several, state)
            told = join(state.parameters, constants)
            row = {"loss": state.loss, "accuracy": state.accuracies[-1], levels.name: 1.0 * state.level}
            return state, row | {"updates": 1.0 * state.updates} | self.told(told) | told.scalars()

        start = jax.vmap(self._begin)(conditions.keys())
        state = conduct_trials(conditions, one_trial, (self.learner, self.task), start, self.steps)
        final = {levels.name: state.level, "updates": state.updates, "solved": state.finished}
        final |= jax.vmap(lambda parameters: self.told(join(parameters, split(self.learner)[1])))(state.parameters)
        conditions.recorder.finish(self.steps, {name: np.asarray(value, float) for name, value in final.items()})

    def trained(self, recorder: FolderRecorder, keys: Key[Array, " trials"]) -> PyTree:
        done, state = recorder.checkpoints.latest(jax.vmap(self._begin)(keys))
        if done < self.steps:
            raise CheckpointError(f"{recorder.study!r} is not meta-trained yet: {done} of {self.steps} steps are done")
        return state.parameters

    def printed(self) -> tuple[PrintedTerm, ...]:
        return self.learner.printed()
