"""Meta-training until the task is solved, at one interval or at longer and longer ones."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from metaplax.estimators import Reverse
from metaplax.experiments.base import AbstractTraining, Conditions
from metaplax.experiments.studies.trials import conduct_trials, operations_of_episode, size_of
from metaplax.experiments.tyulmankov2022.model import drawn, optimizer, strengths
from metaplax.learners import PlasticLearner, join, split
from metaplax.plasticity import PrintedTerm
from metaplax.runs import CheckpointError, FolderRecorder, fingerprint
from metaplax.tasks import Familiarity
from metaplax.training import choose_layout, resample_key

EVERY = 10
"""Updates between two accuracies."""
LAST = 5
"""How many accuracies decide."""
SOLVED = 0.998
"""Mean of these at which an interval is solved."""
FEWEST = 50
"""Updates at least at every interval."""


class Progress(eqx.Module):
    """State of a meta-training.

    Attributes:
        parameters: meta-parameters.
        optimizer: state of the outer optimiser.
        interval: that of the streams; the first one that is not solved.
        updates: how many there were so far.
        since: how many there were at this interval.
        accuracies: the last ones, each of the stream just before an update.
        loss: of the last stream.
        finished: whether nothing changes any more.
    """

    parameters: PyTree
    optimizer: PyTree
    interval: Int[Array, ""]
    updates: Int[Array, ""]
    since: Int[Array, ""]
    accuracies: Float[Array, " last"]
    loss: Float[Array, ""]
    finished: Bool[Array, ""]


@dataclass(frozen=True)
class Stages(AbstractTraining):
    """One stream per update; an interval is solved when the mean of the last accuracies is high, then the next begins.

    Attributes:
        learner: the learner.
        task: streams with the first interval.
        first: the first interval.
        last: the last one; the same as the first one for no curriculum.
        rate: learning rate of Adam.
        most: updates at most.
    """

    learner: PlasticLearner
    task: Familiarity
    first: int
    last: int
    rate: float
    most: int

    @property
    def steps(self) -> int:
        return -(-self.most // EVERY)

    @property
    def fingerprint(self) -> str:
        return f"{fingerprint((self.learner, self.task))} {self.first} {self.last} {self.rate}"

    def check(self) -> None:
        self.learner.check(jax.eval_shape(self.task.sample, jax.random.key(0)))

    def memory(self, trials: int) -> int:
        states = self.task.length * size_of(lambda: self.learner.init(jax.random.key(0)))
        at_once = choose_layout(trials).at_once(trials, 1)
        return trials * size_of(lambda: self._begin(jax.random.key(0))) + at_once * states

    def operations(self, trials: int) -> int:
        return trials * FEWEST * operations_of_episode(self.learner, self.task)

    def _begin(self, key: Key[Array, ""]) -> Progress:
        learner = drawn(self.learner, resample_key(key))
        parameters = split(learner)[0]
        return Progress(
            parameters, optimizer(learner, self.rate).init(parameters), jnp.int32(self.first), jnp.int32(0),
            jnp.int32(0), jnp.zeros(LAST), jnp.zeros(()), jnp.array(False),
        )  # fmt: skip

    def conduct(self, conditions: Conditions) -> None:
        outer = optimizer(self.learner, self.rate)

        def one_trial(given, index, state: Progress, key):
            learner, task = given
            constants, task = split(learner)[1], task.after(state.interval)

            def update(number, carried):
                parameters, memory, _, _ = carried
                task_key, learner_key = jax.random.split(jax.random.fold_in(key, index * EVERY + number))
                found = Reverse().value_and_grad(join(parameters, constants), task.sample(task_key), learner_key)
                step, memory = outer.update(found.gradient, memory, parameters)
                return optax.apply_updates(parameters, step), memory, found.loss, found.metrics["accuracy"]

            def ten(state: Progress) -> Progress:
                start = state.parameters, state.optimizer, state.loss, state.loss
                parameters, memory, loss, accuracy = jax.lax.fori_loop(0, EVERY, update, start)
                accuracies = jnp.append(state.accuracies[1:], accuracy)
                since = state.since + EVERY
                is_solved = (since >= FEWEST) & (jnp.mean(accuracies) >= SOLVED - 1e-6)
                interval = state.interval + is_solved
                since, updates = jnp.where(is_solved, 0, since), state.updates + EVERY
                return Progress(parameters, memory, interval, updates, since, accuracies, loss, interval > self.last)

            state = jax.lax.cond(state.finished, lambda state: state, ten, state)
            told = join(state.parameters, constants)
            row = {"loss": state.loss, "accuracy": state.accuracies[-1], "interval": 1.0 * state.interval}
            return state, row | {"updates": 1.0 * state.updates} | strengths(told) | told.scalars()

        state = conduct_trials(
            conditions, one_trial, (self.learner, self.task), jax.vmap(self._begin)(conditions.keys()), self.steps
        )
        final = {"interval": state.interval, "updates": state.updates, "solved": state.finished}
        final |= jax.vmap(lambda p: strengths(join(p, split(self.learner)[1])))(state.parameters)
        conditions.recorder.finish(self.steps, {name: np.asarray(value, float) for name, value in final.items()})

    def trained(self, recorder: FolderRecorder, keys: Key[Array, " trials"]) -> PyTree:
        done, state = recorder.checkpoints.latest(jax.vmap(self._begin)(keys))
        if done < self.steps:
            raise CheckpointError(f"{recorder.study!r} is not meta-trained yet: {done} of {self.steps} steps are done")
        return state.parameters

    def printed(self) -> tuple[PrintedTerm, ...]:
        return self.learner.printed()
