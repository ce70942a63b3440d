"""Figures of meta-gradients: their errors, and outer losses against processor time."""

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaplax.analysis import nan_mean
from metaplax.reports.recorded import Recorded
from metaplax.reports.style import STYLE, band, colour, plain

COSTS_CAPTION = (
    "Left: outer loss against processor time spent per trial, with 98 % intervals over trials. Right: relative error of"
    " the meta-gradient at the start of meta-training against processor time per episode."
)
PROGRESS_CAPTION = (
    "Query accuracy, or outer loss where there is none, against processor time spent per trial, with 98 % intervals"
    " over trials. The further right, the more steps are averaged."
)
ERRORS_CAPTION = (
    "Relative error of every meta-gradient. Mean and 98 % interval over trials. Broken lines: the inner loop"
    " misses its solution."
)
MARKS = ("-", "--", "-.", ":")
POINTS = 60
"""Largest number of points of a curve on a logarithmic axis."""
LEAST_ERROR = 1e-9
"""Errors are drawn no smaller, since an error of zero has no place on a logarithmic axis."""


@rc_context(STYLE)
def progress(run: Recorded) -> Figure | None:
    """Outer losses against processor time; ``None`` if the experiment does not ask for it."""
    studies = [study for study in run.labels if study in run.spent and "loss" in run.series[study]]
    if not studies or not run.options.by_cost:
        return None
    name = "accuracy" if any("accuracy" in run.series[study] for study in studies) else "loss"
    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axes = figure.subplots()
    _against_cost(axes, run, studies, name, grouped=True)
    axes.set_xscale("log")
    return figure


@rc_context(STYLE)
def costs(run: Recorded) -> Figure | None:
    """The loss that every estimator reaches for its cost; ``None`` if estimators were not compared."""
    studies = [study for study in run.labels if f"loss_at_equal_cost.{study}" in run.quantities and study in run.spent]
    if not studies:
        return None
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    loss, error = figure.subplots(1, 2, width_ratios=(3, 2))
    _against_cost(loss, run, studies, "loss")
    for number, study in enumerate(studies):
        x, y = (run.quantities[f"{name}.{study}"]["mean"] for name in ("cpu_seconds_per_episode", "error"))
        place = (x, max(y or 0.0, LEAST_ERROR))
        error.plot(*place, "o", color=colour(number))
        error.annotate(plain(run.labels[study]), place, xytext=(5, 3), textcoords="offset points", fontsize=7)
    error.set_xscale("log")
    error.set_yscale("log")
    error.set_xlabel("CPU seconds per episode")
    error.set_ylabel("relative error")
    return figure


def _against_cost(axes: Axes, run: Recorded, studies: list[str], name: str, *, grouped: bool = False) -> None:
    """Draw a series of some studies against processor time; if asked to, as means over groups of steps."""
    for number, study in enumerate(studies):
        values = run.series[study][name]
        spent = run.spent[study] / values.shape[1]
        if grouped:
            values, spent = in_groups(values, spent)
        band(axes, spent, values, number, run.labels[study])
    axes.set_xlabel("CPU seconds per trial")
    axes.set_ylabel("outer loss" if name == "loss" else name)
    axes.legend(fontsize=8)


def in_groups(
    values: Float[np.ndarray, "steps trials"], spent: Float[np.ndarray, " steps"]
) -> tuple[Float[np.ndarray, "groups trials"], Float[np.ndarray, " groups"]]:
    """Means over groups of steps whose size grows by the same factor, and the time spent at the end of each group."""
    ends = np.unique(np.geomspace(1, len(values), POINTS).round().astype(int))
    groups = zip([0, *ends[:-1]], ends, strict=True)
    return np.stack([nan_mean(values[start:end], axis=0) for start, end in groups]), np.asarray(spent)[ends - 1]


@rc_context(STYLE)
def errors(run: Recorded) -> Figure | None:
    """Errors on logarithmic axes, one plot per problem; ``None`` if none were measured."""
    groups = run.by_group(study for study, series in run.series.items() if "error" in series)
    if run.options.x_values is None or not groups:
        return None
    figure = Figure(figsize=(3.6 * len(groups) + 2.2, 4.2), layout="constrained")
    grid = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
    for axes, (title, studies) in zip(grid, groups.items(), strict=True):
        _draw(axes, run, studies, np.asarray(run.options.x_values))
        axes.set_title(plain(title), fontsize=10, loc="left")
        axes.set_xlabel(run.options.axis)
    grid[0].set_ylabel("relative error")
    grid[-1].legend(fontsize=6, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _draw(axes: Axes, run: Recorded, names: list[str], x_values: np.ndarray) -> None:
    """Draw the curves of one problem; an error that does not depend on the axis is a horizontal line."""
    studies = [run.studies[name] for name in names]
    estimators = list(dict.fromkeys(study.arm_label for study in studies))
    variants = list(dict.fromkeys(study.variant for study in studies))
    for name, study in zip(names, studies, strict=True):
        values = run.series[name]["error"]
        x = x_values[: len(values)] if len(values) > 1 else x_values[[0, -1]]
        y = values if len(values) > 1 else np.repeat(values, 2, axis=0)
        label = ", ".join(part for part in (study.arm_label, study.variant) if part)
        mark = MARKS[variants.index(study.variant) % len(MARKS)]
        band(axes, x, y, estimators.index(study.arm_label), label, mark, linewidth=1.2)
    axes.set_xscale("log")
    axes.set_yscale("log")
