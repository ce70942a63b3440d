"""Meta-training in one launch: that of one learner, or of several whose programs differ in their numbers only."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key, PyTree

from metaplax.estimators import AbstractEstimator
from metaplax.learners import AbstractLearner, split
from metaplax.optim import Evosax
from metaplax.runs import AbstractProgress, AbstractRecorder, AbstractStepRecorder, Interruption, Row, Step, run_steps
from metaplax.tasks import AbstractTask, Episode
from metaplax.training.divergence import DivergedError, divergence, not_finite, wrong_labels
from metaplax.training.layout import AbstractLayout, Layout, choose_layout, refuse_forks
from metaplax.training.meta_state import MetaState
from metaplax.training.meta_step import Given, MetaStep, first_carried, given_to, initial_state, keys_of_trials
from metaplax.training.programs import compile_step, frozen_numbers, is_number, text_of
from metaplax.training.result import MetaTrained
from metaplax.training.rollback import Rollback, ceiling_of
from metaplax.training.search_step import Optimizer, SearchStep, check_outer, runs_per_episode


@dataclass(frozen=True, eq=False)
class Training:
    """One meta-training; its attributes are arguments of ``meta_train``.

    Raises:
        IncompatibleError: task, learner and estimator do not fit together.
        ValueError: a number is below one, or a population cannot search so many parameters.
    """

    learner: AbstractLearner
    tasks: AbstractTask
    estimator: AbstractEstimator | None
    optimizer: Optimizer
    meta_steps: int
    key: Key[Array, ""]
    recorder: AbstractRecorder
    trials: int = 1
    meta_batch: int = 1
    resample: bool = False
    patience: int | None = 10
    rollback: Rollback | None = None

    def __post_init__(self):
        for name in ("meta_steps", "trials", "meta_batch", "patience"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        self.learner.check(self.shapes, self.tasks.classes)
        check_outer(self.learner, self.estimator, self.optimizer, self.shapes)

    @cached_property
    def shapes(self) -> Episode:
        """Shapes and dtypes of an episode."""
        return jax.eval_shape(self.tasks.sample, self.key)

    @cached_property
    def keys(self) -> Key[Array, " trials"]:
        """A key for every trial."""
        return keys_of_trials(self.key, self.trials)

    @property
    def runs(self) -> int:
        """How many learners run in every meta-step of a trial."""
        return self.meta_batch * runs_per_episode(self.optimizer)

    def begun(self) -> tuple[int, MetaState]:
        """How many meta-steps are done, and the state after them, as the recorder has it."""
        carried = first_carried(self.estimator, self.learner, self.shapes, self.meta_batch)
        start = initial_state(self.learner, self.optimizer, self.keys, self.resample, self.rollback, carried)
        return self.recorder.resume(start, self.meta_steps)

    def given(self, state: MetaState) -> Given:
        """What all trials share."""
        return given_to(self.learner, self.tasks, self.optimizer, state)

    def step(self, place: AbstractLayout) -> MetaStep | SearchStep:
        """One meta-step of one trial."""
        about = (self.meta_batch, self.resample, self.rollback, place)
        if isinstance(self.optimizer, Evosax):
            return SearchStep(self.optimizer, *about)
        assert self.estimator is not None
        return MetaStep(self.estimator, *about)

    def trouble(self, state: MetaState, done: int) -> DivergedError | None:
        """Why it makes no sense to go on after so many meta-steps, if so."""
        if self.patience is None:
            return None
        if done == self.meta_steps and (lost := not_finite(state.parameters)):
            return lost
        ceiling = ceiling_of(self.rollback)

        def hint() -> str | None:
            episode = self.tasks.sample(self.key)
            return wrong_labels(episode, self.learner.output_size(self.shapes)) or self.learner.why_exploding(episode)

        return divergence(state.streak, state.causes, done, patience=self.patience, ceiling=ceiling, hint=hint)

    def finish(self, state: MetaState, seconds: float) -> MetaTrained:
        """The result, which is recorded."""
        masked = tuple(int(count) for count in state.masked)
        # On one device, so that a learner that was found runs like any other.
        parameters = jax.tree.map(jnp.asarray, jax.device_get(state.parameters))
        found = eqx.combine(parameters, split(self.learner)[1])
        trained = MetaTrained(found, self.recorder.rows(), masked, seconds, self.learner, self.keys, self.resample)
        self.recorder.finish(self.meta_steps, {**trained.scalars(), "masked": np.asarray(masked)})
        return trained

    def program(self) -> str:
        """The text of the program of a meta-step: equal if two differ in their numbers only."""
        place = choose_layout(self.trials, self.runs)
        state = place.pad(self.begun()[1])
        return f"{self.meta_steps} {text_of(place, self.step(place), self.given(state), self.keys, state)}"


def launch(
    trainings: Sequence[Training], layout: Layout, progress: AbstractProgress, interruption: Interruption
) -> list[MetaTrained]:
    """Meta-train, several in one launch: their trials are stacked, and each has its own rows and checkpoints.

    If a run was killed while their checkpoints were written, so that some have done more steps than others, they are
    trained one after the other.

    Args:
        trainings: with programs of the same text, see ``program``.
        layout: as for ``meta_train``.
        progress: shows how far they are.
        interruption: asked after every step whether to stop.

    Raises:
        CheckpointError: more steps are done already than are asked for.
        DivergedError: one of them has diverged.
        Interrupted: ``interruption`` asked to stop; checkpoints were written before.
        RuntimeError: this process was forked from one that has trained.
    """
    refuse_forks()
    began, begun = time.perf_counter(), [one.begun() for one in trainings]
    if len({first for first, _ in begun}) > 1:
        return [found for one in trainings for found in launch([one], layout, progress, interruption)]
    stack, steps = Stack(trainings), trainings[0].meta_steps
    place = choose_layout(sum(stack.trials), trainings[0].runs, layout)

    def compiled(state: MetaState) -> Step:
        return compile_step(place, *stack.program(place, state), state, donate=True)

    def trouble(state: MetaState, done: int) -> DivergedError | None:
        each = zip(trainings, stack.apart(place.unpad(state)), strict=True)
        return next((why for one, own in each if (why := one.trouble(own, done))), None)

    # An optimiser may keep the parameters themselves, but no buffer can be donated twice.
    state = jax.tree.map(jnp.copy, place.pad(stack.joined([state for _, state in begun])))
    state = run_steps(
        compiled, state, begun[0][0], steps, recorder=stack, progress=progress, interruption=interruption,
        trouble=trouble, kept=place.unpad,
    )  # fmt: skip
    seconds = (time.perf_counter() - began) / len(trainings)
    return [one.finish(own, seconds) for one, own in zip(trainings, stack.apart(state), strict=True)]


@dataclass(frozen=True, eq=False)
class Stack(AbstractStepRecorder):
    """Several meta-trainings, whose trials are stacked in this order."""

    trainings: Sequence[Training]

    @property
    def trials(self) -> list[int]:
        """How many trials each of them has."""
        return [one.trials for one in self.trainings]

    def joined(self, trees: Sequence[PyTree]) -> PyTree:
        """Trees with a leading axis of trials, stacked; in the structure of the first one."""
        leaves = zip(*map(jax.tree.leaves, trees), strict=True)
        found = [each[0] if len(each) == 1 else jnp.concatenate(each) for each in leaves]
        return jax.tree.unflatten(jax.tree.structure(trees[0]), found)

    def apart(self, tree: PyTree) -> Iterator[PyTree]:
        """The parts of what was stacked."""
        ends = np.cumsum(self.trials)
        for end, trials in zip(ends, self.trials, strict=True):
            yield tree if len(ends) == 1 else jax.tree.map(lambda leaf, a=end - trials, b=end: leaf[a:b], tree)

    def program(self, place: AbstractLayout, state: MetaState) -> tuple[Any, PyTree, PyTree]:
        """One meta-step of one trial, what all trials share, and what every trial has of its own, its key with it."""
        step, keys = self.trainings[0].step(place), self.joined([one.keys for one in self.trainings])
        if len(self.trainings) == 1:
            return step, self.trainings[0].given(state), keys
        given, differs = _shared([frozen_numbers(one.given(state)) for one in self.trainings])
        which = jnp.repeat(jnp.arange(len(self.trainings)), jnp.asarray(self.trials))

        def of_one(given: PyTree, index: Int[Array, ""], state: MetaState, own: tuple[Key[Array, ""], Array]) -> Any:
            key, which = own
            leaves, structure = jax.tree.flatten(given)
            chosen = [leaf[which] if stacked else leaf for leaf, stacked in zip(leaves, differs, strict=True)]
            return step(jax.tree.unflatten(structure, chosen), index, state, key)

        return of_one, given, (keys, which)

    def record(self, step: int, row: Row, seconds: float, cpu_seconds: float) -> None:
        """Record the part of each; of the time each has the same share."""
        for one, own in zip(self.trainings, self.apart(row), strict=True):
            one.recorder.record(step, own, seconds / len(self.trainings), cpu_seconds / len(self.trainings))

    def is_due(self, done: int, steps: int) -> bool:
        """Whether to write checkpoints."""
        return any(one.recorder.is_due(done, steps) for one in self.trainings)

    def checkpoint(self, done: int, state: MetaState) -> None:
        """Keep the state of each."""
        for one, own in zip(self.trainings, self.apart(state), strict=True):
            one.recorder.checkpoint(done, own)


def _shared(trees: Sequence[PyTree]) -> tuple[PyTree, list[bool]]:
    """One tree for all, in which numbers that differ are stacked, and which leaves these are."""
    columns = list(zip(*map(jax.tree.leaves, trees), strict=True))
    differs = [is_number(column[0]) and not all(_same(column[0], other) for other in column[1:]) for column in columns]
    leaves = [
        jnp.stack([jnp.asarray(value) for value in column]) if stacked else column[0]
        for column, stacked in zip(columns, differs, strict=True)
    ]
    return jax.tree.unflatten(jax.tree.structure(trees[0]), leaves), differs


def _same(one: Any, other: Any) -> bool:
    return one is other or bool(np.array_equal(one, other))
