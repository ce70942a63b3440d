"""Differences between two groups of trials, with intervals that decide which of them is better."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from metaplax.analysis.intervals import LEVEL, mean_and_interval, t_quantile
from metaplax.runs.run_folder import finite

FEWEST = 5
"""Number of trials below which no difference counts as shown."""
Trials = Sequence[float] | np.ndarray
"""One number per trial, shape ``(trials,)``."""


@dataclass(frozen=True)
class Difference:
    """The mean of one group of trials minus that of another.

    Attributes:
        mean: the difference.
        ci_low: lower end of its t interval; NaN if there are too few trials.
        ci_high: upper end of that interval.
        n: number of pairs, or of trials in the smaller group.
        paired: whether it is the mean of differences trial by trial; else the interval is Welch's.
    """

    mean: float
    ci_low: float
    ci_high: float
    n: int
    paired: bool

    @property
    def shown(self) -> bool | None:
        """Whether the interval excludes zero; ``None`` if there are too few trials to tell."""
        return None if self.n < FEWEST else not self.ci_low <= 0 <= self.ci_high

    def as_json(self) -> dict[str, Any]:
        """The difference for a program to read; numbers that are not finite are ``None``."""
        return finite(asdict(self) | {"shown": self.shown})

    def reversed(self) -> "Difference":
        """The second group minus the first."""
        return replace(self, mean=0.0 - self.mean, ci_low=0.0 - self.ci_high, ci_high=0.0 - self.ci_low)

    def __str__(self) -> str:
        return mean_and_interval(self.mean, self.ci_low, self.ci_high, self.n, 3)

    def sentence(self, first: str, second: str, what: str, *, larger_is_better: bool) -> str:
        """Which of the two is better, in a sentence without a full stop.

        Args:
            first: what to call the group from which the other is subtracted.
            second: what to call the other group.
            what: the quantity.
            larger_is_better: whether larger values of it are.
        """
        lead, ahead, behind = self, first, second
        if (self.mean > 0) != larger_is_better:
            ahead, behind = second, first
        if self.mean < 0:
            lead = self.reversed()
        known = str(lead).partition(" (n")[0]
        trials = f"{self.n} trial{'s' if self.n != 1 else ''}"
        basis = f"in {what} ({f'paired over {trials}' if self.paired else f'unpaired, at least {trials} each'})"
        if self.shown is None:
            return f"{trials} cannot tell which of {first} and {second} is better: they differ by {known} {basis}"
        if not self.shown:
            return f"no difference is shown between {first} and {second}: they differ by {known} {basis}"
        return f"{ahead} is ahead of {behind} by {known} {basis}"


def paired_difference(first: Trials, second: Trials, level: float = LEVEL) -> Difference:
    """The mean of ``first - second`` over trials that both share, with its t interval; pairs with NaN are left out.

    Raises:
        ValueError: the numbers of trials are not the same.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape:
        raise ValueError(f"pairs need as many trials in both groups, not {len(first)} and {len(second)}")
    found = (first - second)[~np.isnan(first - second)]
    return _with_interval(_mean(found), _squared_error(found), len(found) - 1, len(found), level, paired=True)


def unpaired_difference(first: Trials, second: Trials, level: float = LEVEL) -> Difference:
    """The difference of the means of independent groups, with Welch's interval; NaN is left out."""
    first, second = (group[~np.isnan(group)] for group in (np.asarray(first, float), np.asarray(second, float)))
    errors = [_squared_error(group) for group in (first, second)]
    total, n = sum(errors), min(len(first), len(second))
    each = sum(error**2 / (len(group) - 1) for error, group in zip(errors, (first, second), strict=True) if error > 0)
    degrees = total**2 / each if each > 0 else n - 1
    return _with_interval(_mean(first) - _mean(second), total, degrees, n, level, paired=False)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else np.nan


def _squared_error(values: np.ndarray) -> float:
    """The square of the standard error of the mean; NaN for fewer than two values."""
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else np.nan


def _with_interval(
    mean: float, squared_error: float, degrees: float | int, n: int, level: float, *, paired: bool
) -> Difference:
    half = float(t_quantile(degrees, level) * np.sqrt(squared_error)) if n > 1 else np.nan
    return Difference(mean, mean - half, mean + half, n, paired)
