"""Taking compiled steps one after the other, so that nothing is lost when a signal such as Ctrl-C stops it."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Array, PyTree

from metaplax._interruption import STOPPING, Interruption
from metaplax.runs.hosts import agreed
from metaplax.runs.progress import AbstractProgress
from metaplax.runs.recorder import AbstractStepRecorder

__all__ = ["STOPPING", "Interrupted", "Interruption", "Step", "run_steps"]

Step = Callable[[int, PyTree], tuple[PyTree, dict[str, Array]]]
"""From the index of the step and the state before it to the state after it and what to record, per trial."""


class Interrupted(Exception):
    """A run was asked to stop, and has stopped after writing a checkpoint.

    Attributes:
        reason: name of the signal.
        step: number of meta-steps done.
    """

    def __init__(self, reason: str, step: int):
        super().__init__(f"stopped by {reason} after meta-step {step}; everything up to there is saved")
        self.reason = reason
        self.step = step


ELSEWHERE = "a signal to another process"


def run_steps(
    compiled: Callable[[PyTree], Step],
    state: PyTree,
    first: int,
    steps: int,
    *,
    recorder: AbstractStepRecorder,
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
        Interrupted: ``interruption`` asked to stop; a checkpoint was written before.
        Exception: what ``trouble`` returned; a checkpoint was written before.
    """
    if wrong := trouble(state, first):
        raise wrong
    with progress.track(steps, first) as advance:
        if agreed(bool(interruption.requested), False)[0]:
            raise Interrupted(interruption.requested or ELSEWHERE, first)
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
            done, wrong = index + 1, trouble(state, index + 1)
            stop, is_due = agreed(bool(interruption.requested), recorder.is_due(done, steps))
            if stop or wrong or is_due:
                recorder.checkpoint(done, kept(state))
            if wrong:
                raise wrong
            if stop and done < steps:
                raise Interrupted(interruption.requested or ELSEWHERE, done)
    return kept(state)
