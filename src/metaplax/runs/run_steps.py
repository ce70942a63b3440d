"""Taking compiled steps one after the other, so that nothing is lost when somebody stops it."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Array, PyTree

from metaplax.runs.checkpoints import CheckpointError
from metaplax.runs.interruption import Interrupted, Interruption
from metaplax.runs.progress import AbstractProgress
from metaplax.runs.recorder import AbstractRecorder

Step = Callable[[int, PyTree], tuple[PyTree, dict[str, Array]]]
"""From the index of the step and the state before it to the state after it and what to record, per trial."""


def run_steps(
    compiled: Callable[[PyTree], Step],
    state: PyTree,
    first: int,
    steps: int,
    *,
    recorder: AbstractRecorder,
    progress: AbstractProgress,
    interruption: Interruption,
    trouble: Callable[[PyTree, int], Exception | None] = lambda state, done: None,
    kept: Callable[[PyTree], PyTree] = lambda state: state,
) -> PyTree:
    """Take the steps ``first .. steps - 1``; record each, checkpoint now and then, stop when asked.

    Args:
        compiled: makes the step, given a state; only called if there is something to do.
        state: where to start.
        first: index of the first step.
        steps: index after the last one.
        recorder: where rows and checkpoints go.
        progress: shows how far it is.
        interruption: asked after every step whether to stop.
        trouble: says of a state, and of the number of steps done, why it makes no sense to go on.
        kept: what of a state checkpoints hold, and is returned.

    Returns:
        the state after the last step.

    Raises:
        CheckpointError: more steps are done already than are asked for.
        Interrupted: ``interruption`` asked to stop; a checkpoint was written before.
        Exception: what ``trouble`` returned; a checkpoint was written before.
    """
    if first > steps:
        raise CheckpointError(f"{first} steps are done already, more than the {steps} that are asked for")
    refuse(trouble(state, first))
    with progress.track(steps, first) as advance:
        if interruption.requested:
            raise Interrupted(interruption.requested, first)
        if first >= steps:
            return kept(state)
        take = compiled(state)
        for index in range(first, steps):
            began, cpu_began = time.perf_counter(), time.process_time()
            state, record = take(index, state)
            # A copy: a view would keep the buffer of the device alive.
            row: dict[str, Any] = {name: np.array(value) for name, value in record.items()}
            recorder.record(index, row, time.perf_counter() - began, time.process_time() - cpu_began)
            advance(row)
            done, stop = index + 1, interruption.requested
            wrong = trouble(state, done)
            if stop or wrong or recorder.is_due(done, steps):
                recorder.checkpoint(done, kept(state))
            refuse(wrong)
            if stop and done < steps:
                raise Interrupted(stop, done)
    return kept(state)


def refuse(wrong: Exception | None) -> None:
    """Raise it, if there is one."""
    if wrong is not None:
        raise wrong
