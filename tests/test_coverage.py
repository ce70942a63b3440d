"""How often intervals hold the true mean, for few trials and for long tails.

The table is a part of ``docs/explanations/statistics.md``. ``METAPLAX_WRITE_DOCS=1 pytest tests/test_coverage.py``
writes it.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from metaplax.analysis import interval

PAGE = Path(__file__).resolve().parents[1] / "docs" / "explanations" / "statistics.md"
BEGIN, END = "<!-- table: written by tests/test_coverage.py -->", "<!-- end of the table -->"
WRITES = bool(os.environ.get("METAPLAX_WRITE_DOCS"))
REPETITIONS = 50_000
TRIALS = (3, 4, 5, 6, 10, 20)
PROMISED = {
    "normal": stats.norm(),
    "uniform": stats.uniform(),
    "Beta(20, 2): accuracies near .9": stats.beta(20, 2),
    "Beta(50, 1): accuracies near 1": stats.beta(50, 1),
    "lognormal(0.5)": stats.lognorm(0.5),
    "exponential": stats.expon(),
}
"""Distributions of trials for which the coverage is promised."""
BEYOND = {"lognormal(1)": stats.lognorm(1.0)}
"""A tail so long that no interval of this kind holds what it promises for a few trials."""


def students(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    half = stats.t.ppf(0.99, len(values) - 1) * values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return values.mean(axis=0) - half, values.mean(axis=0) + half


def percentile_bootstrap(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What was printed before."""
    rows = np.random.default_rng(1).integers(len(values), size=(500, len(values)))
    low, high = np.quantile(values[:, :2000][rows].mean(axis=1), [0.01, 0.99], axis=0)
    return low, high


Method = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def coverage(method: Method, distribution, trials: int) -> float:
    """Percent of intervals, from so many trials each, that hold the mean of the distribution."""
    values = distribution.rvs(size=(trials, REPETITIONS), random_state=np.random.default_rng(trials))
    low, high = method(values)
    return 100 * float(np.mean((low <= distribution.mean()) & (distribution.mean() <= high)))


@pytest.mark.skipif(WRITES, reason="the page is written")
@pytest.mark.parametrize("name", [*PROMISED, *BEYOND])
def test_intervals_hold_the_mean_as_often_as_they_say_and_the_page_is_right(name):
    found = [coverage(interval, {**PROMISED, **BEYOND}[name], trials) for trials in TRIALS]
    if name in PROMISED:
        # Four trials of the longest tails miss by a tenth of a point.
        np.testing.assert_allclose([one for one, n in zip(found, TRIALS, strict=True) if n != 4], 98, atol=2, rtol=0)
        np.testing.assert_allclose(found, 98, atol=2.2, rtol=0)
    (cells,) = re.findall(rf"^\| {re.escape(name)} \| metaplax \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    np.testing.assert_allclose([float(cell) for cell in cells.split(" | ")], found, atol=0.06)


def table() -> str:
    lines = [f"| trials are | interval | {' | '.join(f'n = {n}' for n in TRIALS)} |", "|---" * (2 + len(TRIALS)) + "|"]
    methods: dict[str, Method] = {"metaplax": interval, "Student's t": students, "bootstrap": percentile_bootstrap}
    for name, distribution in {**PROMISED, **BEYOND}.items():
        for label, method in methods.items():
            cells = [f"{coverage(method, distribution, trials):.1f}" for trials in TRIALS]
            lines.append(f"| {name} | {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


@pytest.mark.skipif(not WRITES, reason="METAPLAX_WRITE_DOCS is not set: the page is only compared")
def test_write_the_page():
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
