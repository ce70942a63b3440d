"""A network that learns trial by trial from its reward, and when it has learned."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.experiments.base import AbstractStudy, Conditions
from metaplax.experiments.operations import operations
from metaplax.experiments.studies.trials import conduct_trials, size_of
from metaplax.feedback import Symmetric
from metaplax.feedback.modulators import RewardPrediction
from metaplax.learners import PlasticLearner
from metaplax.networks import RateNetwork, TargetLevels
from metaplax.plasticity import AbstractTerm, Eligibility, PrintedTerm, Rule, StepLimit, shared
from metaplax.runs import fingerprint
from metaplax.tasks import AbstractTrials
from metaplax.tasks.working_memory import TYPES

WINDOW, ENOUGH = 100, 96
"""Learned: so many of so many trials in a row are correct."""

BIASES = ((1, 1.0), (10, 1.0), (11, -1.0))
"""Neurons with a constant potential."""


def last_of(target: Int[Array, "*steps"]) -> Int[Array, ""]:
    """The type of a trial, from its target at every step that is scored."""
    return target[-1]


def network_for(task: AbstractTrials) -> RateNetwork:
    """The network that learns a task."""
    found = task.perturbations
    held = tuple(one for one in BIASES if one[0] < found.neurons)
    return RateNetwork(task.channels, found.neurons, tau=found.tau, held=held, readout=TargetLevels(task.levels))


def learner_for(
    task: AbstractTrials, term: AbstractTerm, rate: float, limit: float, scored: int, silent: int
) -> PlasticLearner:
    """A network with one term whose updates wait for the reward, which is minus the mean distance from the target.

    Args:
        task: what it learns.
        term: the term.
        rate: factor of its changes.
        limit: largest change of a weight in a trial.
        scored: steps at the end of a trial that are scored.
        silent: trials at the start without plasticity.
    """
    network = network_for(task)
    limits, active = StepLimit(forgetting=None, entry=limit), network.only_recurrent(1)
    rule = Rule((Eligibility(term, float("inf")),), shared([rate]), active, limit=limits)
    # The pathway tells neurons errors, which no term here sees.
    expected = RewardPrediction(4.0, types=TYPES, type_of=last_of, power=1, silent=silent)
    return PlasticLearner(network, rule, Symmetric(), modulator=expected, scored=scored)


def error_of(learner: PlasticLearner, before: PyTree, after: PyTree, kind: Int[Array, ""]) -> Float[Array, ""]:
    """The error of the trial between two states, from how the expected reward of its type has changed."""
    assert isinstance(learner.modulator, RewardPrediction)
    expected = before.modulator[kind]
    return -(expected + learner.modulator.tau * (after.modulator[kind] - expected))


@dataclass(frozen=True)
class RewardLearning(AbstractStudy):
    """One network per repetition learns a task; the error is recorded as a mean over every block of trials.

    The final row holds the trial at whose end the criterion was reached for the first time, and whether it ever was.

    Attributes:
        learner: network and rule.
        task: what it learns, the types of trials in turn.
        examples: trials in all.
        block: trials per row, a multiple of the number of types.
    """

    learner: PlasticLearner
    task: AbstractTrials
    examples: int
    block: int

    @property
    def steps(self) -> int:
        return self.examples // self.block

    @property
    def fingerprint(self) -> str:
        return f"{self.examples} trials, {self.block} per row, of {fingerprint((self.learner, self.task))}"

    def check(self) -> None:
        self.learner.check(jax.eval_shape(self.task.sample, jax.random.key(0)), self.task.classes)

    def memory(self, trials: int) -> int:
        return trials * size_of(lambda: self._begin(jax.random.key(0)))

    def operations(self, trials: int) -> int:
        self.check()
        key = jax.random.key(0)
        once = lambda: self.learner.update(self.learner.init(key), self.task.trial(key, jnp.int32(0)), key)  # noqa: E731
        return trials * self.examples * operations(once)

    def _begin(self, key: Key[Array, ""]) -> PyTree:
        """Before the first trial: the learner's state, which of the last trials were correct, and the criterion."""
        return self.learner.init(jax.random.fold_in(key, 0)), jnp.zeros(WINDOW, bool), jnp.array(jnp.nan)

    def conduct(self, conditions: Conditions) -> None:
        def one_block(given, row, state, key):
            learner, task = given

            def one(state, number):
                before, recent, reached = state
                kind, keys = number % TYPES, jax.random.split(jax.random.fold_in(key, number + 1))
                after = learner.update(before, task.trial(keys[0], kind), keys[1])
                error = error_of(learner, before, after, kind)
                recent = recent.at[number % WINDOW].set(error < 1)
                is_first = jnp.isnan(reached) & (number + 1 >= WINDOW) & (jnp.sum(recent) >= ENOUGH)
                return (after, recent, jnp.where(is_first, number + 1, reached)), error

            state, errors = jax.lax.scan(one, state, row * self.block + jnp.arange(self.block))
            return state, {"error": jnp.mean(errors), "correct": jnp.mean(errors < 1, dtype=errors.dtype)}

        start = jax.vmap(self._begin)(conditions.keys())
        state = conduct_trials(conditions, one_block, (self.learner, self.task), start, self.steps)
        reached = np.asarray(state[2], float)
        conditions.recorder.finish(self.steps, {"criterion": reached, "reached": np.isfinite(reached).astype(float)})

    def printed(self) -> tuple[PrintedTerm, ...]:
        return self.learner.printed()
