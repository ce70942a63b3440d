"""Bootstrap intervals of means over trials."""

from collections.abc import Sequence

import numpy as np

LEVEL = 0.98
RESAMPLES = 500


def bootstrap_interval(
    values: Sequence[float] | np.ndarray, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval of the mean over the leading axis.

    Args:
        values: shape ``(trials, ...)``; trials that are NaN are left out.
        level: coverage, 0.98 in Shervani-Tabar & Rosenbaum (2023).
        resamples: number of resampled means, 500 in the paper.
        seed: seed of the resampling.

    Returns:
        lower and upper end, each of shape ``(...)``.

    Raises:
        ValueError: there are no trials.
    """
    values = np.asarray(values, float)
    if values.shape[0] == 0:
        raise ValueError("an interval needs at least one trial")
    generator = np.random.default_rng(seed)
    rows = generator.integers(len(values), size=(resamples, len(values)))
    means = nan_mean(values[rows], axis=1)
    tail = (1 - level) / 2
    known = ~np.isnan(means).all(axis=0)
    ends = np.nanquantile(np.where(known, means, 0.0), [tail, 1 - tail], axis=0)
    low, high = (np.asarray(np.where(known, end, np.nan)) for end in ends)
    return low, high


def nan_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of the entries that are not NaN; NaN where there is none."""
    there = ~np.isnan(values)
    count = there.sum(axis=axis)
    total = np.where(there, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
