"""Intervals of means over trials whose coverage holds for a few trials, too."""

from collections.abc import Sequence

import numpy as np

LEVEL = 0.98
LONG_TAIL = 3.0
"""How much the skewness of the values lengthens an interval.

Chosen by simulation, see ``docs/explanations/statistics.md``.

It is above 1, its value for many trials, because a few values show less skewness than their distribution has.
"""


def interval(values: Sequence[float] | np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Interval of the mean over the leading axis: Student's t interval, made longer on the side of a long tail.

    Args:
        values: shape ``(trials, ...)``; trials that are NaN are left out.
        level: coverage, 0.98 in Shervani-Tabar & Rosenbaum (2023), for which ``LONG_TAIL`` was chosen.

    Returns:
        lower and upper end, each of shape ``(...)``; NaN where there are fewer than two trials.

    Raises:
        ValueError: there are no trials.
    """
    values = np.asarray(values, float)
    if values.shape[0] == 0:
        raise ValueError("an interval needs at least one trial")
    count = (~np.isnan(values)).sum(axis=0)
    mean = nan_mean(values, axis=0)
    deviations = values - mean
    spread = np.sqrt(nan_mean(deviations**2, axis=0))
    skewness = nan_mean((deviations / np.where(spread > 0, spread, 1.0)) ** 3, axis=0)
    known = np.where(count > 1, count, 2)
    quantile = t_quantile(known - 1, level)
    # The second term of the Cornish-Fisher expansion of the t statistic (Johnson 1978, Hall 1992).
    shift = LONG_TAIL * skewness * (1 + 2 * quantile**2) / (6 * np.sqrt(known))
    error = np.where(count > 1, spread / np.sqrt(known - 1), np.nan)
    low = mean - (quantile - np.minimum(shift, 0)) * error
    return np.asarray(low), np.asarray(mean + (quantile + np.maximum(shift, 0)) * error)


def t_quantile(degrees: float | int | np.number | np.ndarray, level: float) -> np.ndarray:
    """Half of the length, in standard errors, of a two-sided t interval with so many degrees of freedom."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(degrees, (1 + level) / 2))


def nan_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of the entries that are not NaN; NaN where there is none."""
    there = ~np.isnan(values)
    count = there.sum(axis=axis)
    total = np.where(there, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def mean_and_interval(mean: float | None, low: float | None, high: float | None, n: int | str, digits: int = 4) -> str:
    """``0.685 [0.681, 0.689] (n = 20)``; without an interval where it is unknown, and a dash without a mean."""
    if mean is None or np.isnan(mean):
        return "-"
    unknown = low is None or high is None or np.isnan(low) or np.isnan(high)
    ends = "" if unknown else f" [{low:.{digits}g}, {high:.{digits}g}]"
    return f"{mean:.{digits}g}{ends} (n = {n})"
