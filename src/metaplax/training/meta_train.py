"""The only outer loop: draw episodes, estimate the meta-gradient, take one optax step, record."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int, Key, PyTree

from metaplax.estimators import RESULTS, AbstractEstimator
from metaplax.learners import AbstractLearner, split, with_trainable
from metaplax.optim import Evosax
from metaplax.runs import (
    AbstractProgress,
    AbstractRecorder,
    Interruption,
    MemoryRecorder,
    NoProgress,
    NotebookProgress,
    Step,
    is_notebook,
    run_steps,
)
from metaplax.tasks import AbstractTask, Episode
from metaplax.training.divergence import CAUSES, DivergedError, cause, divergence, not_finite, wrong_labels
from metaplax.training.layout import AbstractLayout, Layout, choose_layout, refuse_forks
from metaplax.training.meta_state import MetaState, masked_sum
from metaplax.training.programs import TracedUpdate, compile_step
from metaplax.training.result import MetaTrained, resample_key, trial_learner
from metaplax.training.rollback import Rollback
from metaplax.training.search_step import Optimizer, SearchStep, check_outer, runs_per_episode

Given = tuple[AbstractLearner, AbstractTask, TracedUpdate]
"""What all trials share."""


@dataclass(frozen=True, eq=False)
class MetaStep:
    """One meta-step of one trial; its attributes are arguments of ``meta_train``."""

    estimator: AbstractEstimator
    meta_batch: int
    resample: bool
    rollback: Rollback | None
    layout: AbstractLayout

    @property
    def ceiling(self) -> float:
        """Outer loss above which an episode has exploded."""
        return self.rollback.ceiling if self.rollback else float("inf")

    def __call__(
        self, given: Given, index: Int[Array, ""], state: MetaState, trial_key: Key[Array, ""]
    ) -> tuple[MetaState, dict[str, Array]]:
        """The state after meta-step ``index``, and what to record of it."""
        learner, tasks, optimizer = given
        task = tasks.resample(resample_key(trial_key))
        learner = trial_learner(learner, state.parameters, trial_key, self.resample)

        def one_episode(inputs: tuple[Key[Array, ""], PyTree]) -> PyTree:
            found, carried = self.estimator.step(learner, task.sample, *inputs)
            why = cause(found.loss, optax.tree.norm(found.gradient), self.ceiling)
            wrong = {name: found.result == getattr(RESULTS, name) for name in self.estimator.problems}
            return {"loss": found.loss, **found.metrics}, found.gradient, why, wrong, carried

        keys = jax.random.split(jax.random.fold_in(trial_key, index), self.meta_batch)
        records, gradients, causes, wrong, carried = self.layout.episodes(one_episode, (keys, state.carried))
        usable = ~jnp.any(causes, axis=1)
        count = jnp.sum(usable, dtype=jnp.int32)
        gradient = [masked_sum(leaf, usable) / jnp.maximum(count, 1) for leaf in jax.tree.leaves(gradients)]
        gradient = jax.tree.unflatten(jax.tree.structure(state.parameters), gradient)
        means = {name: masked_sum(value, usable) / count for name, value in records.items()}

        before, memory = state.outer, state.rollback
        updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.parameters)
        stepped = (eqx.apply_updates(state.parameters, updates), optimizer_state)
        after = jax.tree.map(lambda new, old: jnp.where(count > 0, new, old), stepped, before)
        streak = jnp.where(count > 0, 0, state.streak + 1)
        if self.rollback is not None:
            after, memory = self.rollback.step(memory, before, after, means["loss"], streak)
        parameters, optimizer_state = after

        causes = jnp.where(count > 0, 0, state.causes + jnp.sum(causes, axis=0, dtype=jnp.int32))
        row = {**means, "masked": self.meta_batch - count, **learner.scalars()}
        row |= {name: jnp.sum(values, dtype=jnp.int32) for name, values in wrong.items()}
        row |= {} if self.meta_batch == 1 else {"meta_batch": jnp.int32(self.meta_batch)}
        masked = state.masked + self.meta_batch - count
        return MetaState(parameters, optimizer_state, memory, streak, causes, masked, carried), row


def meta_train(
    learner: AbstractLearner,
    tasks: AbstractTask,
    estimator: AbstractEstimator | None,
    optimizer: Optimizer,
    meta_steps: int,
    *,
    key: Key[Array, ""],
    trials: int = 1,
    meta_batch: int = 1,
    resample: bool = False,
    trainable: PyTree | None = None,
    patience: int = 10,
    rollback: Rollback | None = None,
    layout: Layout = "auto",
    recorder: AbstractRecorder | None = None,
    progress: AbstractProgress | None = None,
    interruption: Interruption | None = None,
) -> MetaTrained:
    """Meta-learn a learner's parameters on a distribution of tasks.

    Meta-training starts from the learner as it is given and changes the arrays that
    ``trainable`` marks, and no others. The episodes are a pure function of (``key``, trial,
    meta-step, index in the batch), so that a run can be resumed without any state of a data loader, and two learners
    can be compared on the same episodes.

    An episode whose loss or gradient is not finite has exploded: it is left out and counted. What else the estimator
    reports to be wrong is counted under the name of its ``RESULTS``, one number per meta-step.

    Args:
        learner: where to start.
        tasks: distribution of episodes.
        estimator: how the meta-gradient is obtained; ``None`` for an optimiser that needs none.
        optimizer: the outer optimiser, of optax; or one that compares a population, ``metaplax.optim.Evosax``.
        meta_steps: number of outer steps.
        key: seed of everything random.
        trials: independent repetitions, each with episodes of its own.
        meta_batch: episodes per meta-step; their meta-gradients are averaged.
        resample: whether every trial starts with a fresh draw, ``resample``, in
            place of the learner as it is given. What is frozen stays in any case.
        trainable: which arrays are meta-learned, if not those that are so by default: booleans in the structure of the
            learner, or a prefix of it, as ``equinox.filter`` takes them.
        patience: give up after so many meta-steps in a row in which every episode exploded.
        rollback: when to go back to earlier parameters; by default never.
        layout: how trials and episodes are laid out over devices, see ``choose_layout``.
        recorder: where rows and checkpoints go; by default rows are kept in memory.
        progress: shows how far it is; by default a line in a notebook, and nothing elsewhere.
        interruption: asked after every step whether to stop.

    Raises:
        IncompatibleError: task, learner and estimator do not fit together, or the meta-gradient would be zero by
            construction (before anything compiles).
        ValueError: a number is below one, ``layout`` is unknown, or a population cannot search so many parameters.
        CheckpointError: more steps are done already than are asked for.
        DivergedError: ``patience`` meta-steps in a row had no episode that counts, or parameters are not finite after
            the last one; the message names the cause.
        Interrupted: ``interruption`` asked to stop; a checkpoint was written before.
        RuntimeError: this process was forked from one that has trained.
    """
    refuse_forks()
    _require_positive(meta_steps=meta_steps, trials=trials, meta_batch=meta_batch)
    learner = learner if trainable is None else with_trainable(learner, trainable)
    shapes = jax.eval_shape(tasks.sample, key)
    learner.check(shapes, tasks.classes)
    check_outer(learner, estimator, optimizer, shapes)
    began, recorder, trial_keys = time.perf_counter(), recorder or MemoryRecorder(), keys_of_trials(key, trials)
    place = choose_layout(trials, meta_batch * runs_per_episode(optimizer), layout)
    step = _step(estimator, optimizer, meta_batch, resample, rollback, place)
    hint = lambda: wrong_labels(tasks.sample(key), learner.output_size(shapes))  # noqa: E731

    def trouble(state: MetaState, done: int) -> DivergedError | None:
        if done == meta_steps and (lost := not_finite(place.unpad(state.parameters))):
            return lost
        streak, causes = place.unpad((state.streak, state.causes))
        return divergence(streak, causes, done, patience=patience, ceiling=step.ceiling, hint=hint)

    carried = first_carried(estimator, learner, shapes, meta_batch)
    begun = initial_state(learner, optimizer, trial_keys, resample, rollback, carried)
    first, state = recorder.resume(begun, meta_steps)

    def compiled(state: MetaState) -> Step:
        given = learner, tasks, _update(optimizer, state)
        return compile_step(place, step, given, trial_keys, state, donate=True)

    # An optimiser may keep the parameters themselves, but no buffer can be donated twice.
    state = jax.tree.map(jnp.copy, place.pad(state))
    state = run_steps(
        compiled, state, first, meta_steps, recorder=recorder, progress=progress or usual_progress(),
        interruption=interruption or Interruption(), trouble=trouble, kept=place.unpad,
    )  # fmt: skip
    masked, seconds = tuple(int(n) for n in state.masked), time.perf_counter() - began
    # On one device, so that a learner that was found runs like any other.
    found = eqx.combine(jax.tree.map(jnp.asarray, jax.device_get(state.parameters)), split(learner)[1])
    trained = MetaTrained(found, recorder.rows(), masked, seconds, learner, trial_keys, resample)
    recorder.finish(meta_steps, {**trained.scalars(), "masked": np.asarray(masked)})
    return trained


def usual_progress() -> AbstractProgress:
    """What shows how far meta-training is, if nothing else is asked for."""
    return NotebookProgress("meta-training") if is_notebook() else NoProgress()


def keys_of_trials(key: Key[Array, ""], trials: int) -> Key[Array, " trials"]:
    """A key for every trial."""
    return jax.vmap(lambda trial: jax.random.fold_in(key, trial))(jnp.arange(trials))


def initial_state(
    learner: AbstractLearner,
    optimizer: Optimizer,
    trial_keys: Key[Array, " trials"],
    resample: bool = False,
    rollback: Rollback | None = None,
    carried: PyTree = None,
) -> MetaState:
    """The state before the first meta-step, with a leading axis of trials; arguments as in ``meta_train``.

    ``carried`` is what ``first_carried`` gives.
    """

    def one(trial_key: Key[Array, ""]) -> MetaState:
        start = learner.resample(resample_key(trial_key)) if resample else learner
        parameters = jax.tree.map(jnp.asarray, split(start)[0])
        current = (parameters, optimizer.init(parameters))
        memory = rollback.start(current) if rollback else None
        return MetaState(*current, memory, jnp.int32(0), jnp.zeros(len(CAUSES), jnp.int32), jnp.int32(0), carried)

    return jax.vmap(one, out_axes=0)(trial_keys)


def first_carried(
    estimator: AbstractEstimator | None, learner: AbstractLearner, episode: Episode, meta_batch: int = 1
) -> PyTree:
    """What an estimator carries before the first meta-step of a trial, for every episode of the batch."""
    if estimator is None:
        return None
    return jax.tree.map(lambda leaf: jnp.repeat(leaf[None], meta_batch, axis=0), estimator.start(learner, episode))


def _step(estimator: AbstractEstimator | None, optimizer: Optimizer, *about: Any) -> MetaStep | SearchStep:
    """One meta-step of one trial; what it is about are the further attributes of both kinds."""
    if isinstance(optimizer, Evosax):
        return SearchStep(optimizer, *about)
    assert estimator is not None
    return MetaStep(estimator, *about)


def _update(optimizer: Optimizer, state: MetaState) -> TracedUpdate | None:
    """The update of an optimiser that takes a meta-gradient, with its numbers as leaves."""
    if isinstance(optimizer, Evosax):
        return None
    parameters, memory = jax.eval_shape(partial(jax.tree.map, lambda leaf: leaf[0]), state.outer)
    return TracedUpdate(optimizer.update, parameters, memory, parameters)


def _require_positive(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
