"""What estimators reach for the same processor time, and how much of it they need to reach the same outer loss."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metaplax.analysis import Quantity, by_study, cost_per_step, nan_mean, over_trials

AVERAGED = 5
"""Last steps over which losses are averaged."""


def equal_cost(rows: Sequence[Mapping[str, Any]], averaged: int, loss_unit: str) -> list[Quantity]:
    """Quantities that follow from the recorded losses of several studies and from what their steps cost.

    Every step counts with the same time, see ``cost_per_step``, so that it does not matter where a run was resumed.

    Args:
        rows: of all studies; each has a ``loss`` per step.
        averaged: number of steps over which losses are averaged.
        loss_unit: unit of the losses.

    Returns:
        for every study, ``loss_at_equal_cost``, when it has used as much processor time as the cheapest one in total,
        and ``cpu_seconds_to_loss``, the processor time of a trial until the mean over its last steps is as low as
        ``loss_to_reach``: half way from the loss at the start to the lowest one at the end, of the studies in which the
        fewest trials have exploded. Trials that do not get there are left out. If no study does better than the start,
        there is no such loss.
    """
    costs = {study: cost_per_step(found) for study, found in by_study(rows).items()}
    steps = {study: [row for row in found if not row.get("final")] for study, found in by_study(rows).items()}
    losses = {study: np.asarray([row["loss"] for row in found], float) for study, found in steps.items()}
    budget = min((cost * (steps[study][-1]["step"] + 1) for study, cost in costs.items()), default=0.0)
    found = []
    for study, cost in costs.items():
        affordable = [i for i, row in enumerate(steps[study]) if not cost or row["step"] < round(budget / cost)] or [0]
        loss = nan_mean(losses[study][affordable[-averaged:]], axis=0)
        found.append(over_trials(f"loss_at_equal_cost.{study}", loss, loss_unit))
    first = nan_mean(np.array([nan_mean(loss[0], axis=0) for loss in losses.values()]), axis=0)
    ends = [nan_mean(loss[-averaged:], axis=0) for loss in losses.values()]
    # Where more trials have exploded than elsewhere, the others say little of how low a loss can get.
    sound = [int(np.isfinite(end).sum()) for end in ends]
    best = min((nan_mean(end, axis=0) for end, n in zip(ends, sound, strict=True) if n == max(sound)), default=np.nan)
    if not best < first:
        return found
    target = (first + best) / 2
    found.append(over_trials("loss_to_reach", np.array([target]), loss_unit))
    for study, cost in costs.items():
        taken = np.array([row["step"] + 1 for row in steps[study]])
        recent = _recent(losses[study], min(averaged, len(taken)))
        reached = recent <= target
        when = np.where(reached.any(axis=0), taken[reached.argmax(axis=0)], np.nan)
        found.append(over_trials(f"cpu_seconds_to_loss.{study}", when * cost / reached.shape[1], "s"))
    return found


def _recent(losses: np.ndarray, window: int) -> np.ndarray:
    """Mean over the last ``window`` steps, shape ``(steps, trials)``; NaN before there are so many."""
    means = nan_mean(np.lib.stride_tricks.sliding_window_view(losses, window, axis=0), axis=-1)
    return np.concatenate([np.full((window - 1, losses.shape[1]), np.nan), means])
