"""The only outer loop: draw episodes, estimate the meta-gradient, take one optax step, record."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Int, Key, PyTree

from metaplax.estimators import AbstractEstimator
from metaplax.learners import AbstractLearner, join, split
from metaplax.runs.interruption import Interruption
from metaplax.runs.progress import AbstractProgress, NoProgress
from metaplax.runs.recorder import AbstractRecorder, MemoryRecorder, Row
from metaplax.runs.run_steps import Step, run_steps
from metaplax.tasks import AbstractTask
from metaplax.training.layout import AbstractLayout, Batching, choose_layout
from metaplax.training.rollback import Anchors, Best

RESAMPLING = 2**32 - 1
"""In the place of the index of a meta-step, what is drawn once per trial."""

ANCHORS = 8
"""How many earlier meta-steps can be gone back to, one every five finite steps."""


class DivergedError(RuntimeError):
    """Too many episodes in a row gave a loss or gradient that is not finite; the message is one sentence."""


class MetaState(eqx.Module):
    """What meta-training carries from step to step; outside of one trial every leaf has a leading axis of trials."""

    parameters: PyTree
    optimizer: PyTree
    anchors: Anchors
    best: Best
    streak: Int[Array, "*trials"]
    masked: Int[Array, "*trials"]


@dataclass(frozen=True)
class MetaTrained:
    """What meta-training returns.

    Attributes:
        learner: the learner with its meta-learned leaves, each with a leading axis of trials.
        history: what was recorded, one row per meta-step.
        masked: for each trial, how many episodes were left out because they were not finite.
    """

    learner: AbstractLearner
    history: list[Row]
    masked: tuple[int, ...]

    def scalars(self) -> Row:
        """Meta-parameters worth plotting after the last meta-step, for each trial."""
        parameters, constants = split(self.learner)
        found = jax.vmap(lambda one: join(one, constants).scalars())(parameters)
        return {name: np.asarray(value) for name, value in found.items()}

    def mean(self) -> AbstractLearner:
        """The learner with every meta-learned leaf averaged over trials."""
        parameters, constants = split(self.learner)
        return eqx.combine(jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), parameters), constants)


def meta_train(
    learner: AbstractLearner,
    tasks: AbstractTask,
    estimator: AbstractEstimator,
    optimizer: optax.GradientTransformation,
    meta_steps: int,
    *,
    key: Key[Array, ""],
    trials: int = 1,
    meta_batch: int = 1,
    patience: int = 10,
    ceiling: float = float("inf"),
    margin: float = float("inf"),
    batching: Batching = "auto",
    recorder: AbstractRecorder | None = None,
    progress: AbstractProgress | None = None,
    interruption: Interruption | None = None,
) -> MetaTrained:
    """Meta-learn a learner's parameters on a distribution of tasks.

    The episodes are a pure function of (``key``, trial, step, index in the batch), so that a run can be
    resumed without any state of a data loader, and two learners can be compared on the same episodes.

    An episode whose loss or gradient is not finite, or whose loss is above ``ceiling``, has exploded: it is left out
    and counted. From the second meta-step in a row
    without any other episode on, the parameters go back by some steps for each.

    Args:
        learner: where to start; its floating-point JAX arrays are meta-learned.
        tasks: distribution of episodes.
        estimator: how the meta-gradient is obtained.
        optimizer: the outer optimiser.
        steps: number of meta-steps.
        key: seed of everything.
        trials: independent repetitions, each with episodes and initial networks of its own.
        episodes: episodes per meta-step; their gradients are averaged.
        patience: give up after so many meta-steps in a row in which every episode exploded.
        ceiling: an outer loss that no episode should exceed, such as one and a half times that of an untrained
            network. The gradients of such episodes are huge and lead nowhere.
        margin: how far the running mean of the loss over about ten meta-steps may rise above its lowest value; then
            the parameters go back to where it was lowest. An exploded episode counts with the ceiling.
        batching: how trials and episodes are laid out over the machine, see :func:`metaplax.training.layout`.
        recorder: where rows and checkpoints go; by default rows are kept in memory.
        progress: shows how far it is.
        interruption: asked after every step whether to stop.

    Raises:
        IncompatibleError: task, learner and estimator do not fit together (before anything compiles).
        ValueError: ``steps``, ``trials`` or ``episodes`` is below one, or ``batching`` is unknown.
        DivergedError: ``patience`` meta-steps in a row without a finite episode.
        Interrupted: ``interruption`` asked to stop; a checkpoint was written before.
    """
    for name, value in (("steps", steps), ("trials", trials), ("episodes", episodes)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    learner.check(jax.eval_shape(tasks.sample, key), tasks.classes)
    estimator.check(learner)
    layout = choose_layout(trials, episodes, batching)
    recorder = MemoryRecorder() if recorder is None else recorder
    progress = NoProgress() if progress is None else progress
    interruption = Interruption() if interruption is None else interruption

    constants = split(learner)[1]
    trial_keys = keys_of_trials(key, trials)
    first, state = recorder.resume(start(learner, optimizer, trial_keys))

    # Arrays are arguments of the compiled step; Python numbers stay what they are.
    task_arrays, task_constants = eqx.partition(tasks, eqx.is_array)

    def one_trial(task_arrays, step, state, trial_key):
        tasks = eqx.combine(task_arrays, task_constants).resample(resample_key(trial_key))
        key = jax.random.fold_in(trial_key, step)
        return _meta_step(constants, tasks, estimator, optimizer, episodes, layout, (ceiling, margin), state, key)

    def compiled(state: MetaState) -> Step:
        keys = layout.pad(trial_keys)
        take = jax.jit(layout.trials(one_trial)).lower(task_arrays, jnp.int32(0), state, keys).compile()

        def step(index: int, state: MetaState) -> tuple[MetaState, dict[str, Array]]:
            state, record = take(task_arrays, jnp.int32(index), state, keys)
            return state, layout.unpad(record)

        return step

    state = run_steps(
        compiled,
        layout.pad(state),
        first,
        steps,
        recorder=recorder,
        progress=progress,
        interruption=interruption,
        trouble=lambda state, done: _divergence(layout.unpad(state.streak), done, patience),
        kept=layout.unpad,
    )
    learned = eqx.combine(state.parameters, constants)
    trained = MetaTrained(learned, recorder.rows(), tuple(int(n) for n in state.masked))
    recorder.finish(steps, trained.scalars())
    return trained


def keys_of_trials(key: Key[Array, ""], trials: int) -> Key[Array, " trials"]:
    """A key for every trial."""
    return jax.vmap(lambda trial: jax.random.fold_in(key, trial))(jnp.arange(trials))


def resample_key(trial_key: Key[Array, ""]) -> Key[Array, ""]:
    """The key of what is drawn once per trial."""
    return jax.random.fold_in(trial_key, RESAMPLING)


def start(
    learner: AbstractLearner, optimizer: optax.GradientTransformation, trial_keys: Key[Array, " trials"]
) -> MetaState:
    """The state before the first meta-step, with a leading axis of trials."""

    def one(trial_key: Key[Array, ""]) -> MetaState:
        parameters = split(learner.resample(resample_key(trial_key)))[0]
        current = (parameters, optimizer.init(parameters))
        return MetaState(*current, Anchors.start(current, ANCHORS), Best.start(current), jnp.int32(0), jnp.int32(0))

    return jax.vmap(one, out_axes=0)(trial_keys)


def _meta_step(
    constants: AbstractLearner,
    tasks: AbstractTask,
    estimator: AbstractEstimator,
    optimizer: optax.GradientTransformation,
    meta_batch: int,
    layout: AbstractLayout,
    limits: tuple[float, float],
    state: MetaState,
    key: Key[Array, ""],
) -> tuple[MetaState, dict[str, Any]]:
    """One meta-step of one trial. Episodes that are not finite do not count; see :mod:`metaplax.training.rollback`."""
    learner, (ceiling, margin) = eqx.combine(state.parameters, constants), limits

    def one_episode(key):
        task_key, learner_key = jax.random.split(key)
        (loss, metrics), gradient = estimator.value_and_grad(learner, tasks.sample(task_key), learner_key)
        # The norm, not just the entries: one whose square overflows would stop Adam for good.
        finite = jnp.isfinite(loss) & (loss <= ceiling) & jnp.isfinite(optax.tree.norm(gradient))
        return {"loss": loss, **metrics}, gradient, finite

    records, gradients, finite = layout.episodes(one_episode, jax.random.split(key, episodes))
    count = jnp.sum(finite)
    gradient = jax.tree.map(lambda g: _masked_sum(g, finite) / jnp.maximum(count, 1), gradients)
    updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.parameters)
    masked, before = state.masked + episodes - count, (state.parameters, state.optimizer)
    stepped = eqx.apply_updates(state.parameters, updates)
    means = {name: _masked_sum(value, finite) / count for name, value in records.items()}
    taken = (stepped, optimizer_state), state.anchors.passed(before), jnp.int32(0)
    left = (*state.anchors.exploded(before, state.streak + 1), state.streak + 1)
    current, anchors, streak = jax.tree.map(lambda a, b: jnp.where(count > 0, a, b), taken, left)
    (parameters, optimizer_state), best = state.best.after(
        jnp.where(count > 0, means["loss"], ceiling), current, margin
    )
    new_state = MetaState(parameters, optimizer_state, anchors, best, streak, masked)
    row = {**means, "masked": episodes - count, **join(state.parameters, constants).scalars()}
    return new_state, row if episodes == 1 else {**row, "episodes": jnp.int32(episodes)}


def _masked_sum(values: Array, mask: Bool[Array, " episodes"]) -> Array:
    """Sum over the leading axis of the entries that count; NaN in the others does not leak."""
    shape = (-1,) + (1,) * (values.ndim - 1)
    return jnp.sum(jnp.where(mask.reshape(shape), values, 0), axis=0)


def _divergence(streaks: Int[Array, " trials"], done: int, patience: int) -> DivergedError | None:
    """The error, if too many meta-steps in a row have given nothing finite."""
    trials = [str(i) for i, n in enumerate(np.asarray(streaks)) if n >= patience]
    if not trials:
        return None
    return DivergedError(
        f"meta-training diverged: {patience} meta-steps in a row up to step {done - 1} gave no finite loss and"
        f" gradient (trial {', '.join(trials)}); try a smaller meta-learning rate or clip the meta-gradient harder"
    )
