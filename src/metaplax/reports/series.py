"""Figures of series: outer losses against processor time, errors, and scores along streams and games."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaplax.analysis import nan_mean
from metaplax.reports.recorded import Recorded
from metaplax.reports.style import BELOW, RIGHT, band, colour, plain, plots

MARKS = ("-", "--", "-.", ":")
POINTS = 60
"""Largest number of points of a curve on a logarithmic axis."""
LEAST_ERROR = 1e-9
"""Errors are drawn no smaller, since an error of zero has no place on a logarithmic axis."""


def progress(run: Recorded) -> Figure | None:
    """Outer losses against processor time; ``None`` if the experiment does not ask for it."""
    studies = [study for study in run.labels if study in run.spent and "loss" in run.series[study]]
    if not studies or not run.options.by_cost:
        return None
    figure, (axes,) = plots(1, 1, (7.2, 3.8))
    name = "accuracy" if any("accuracy" in run.series[study] for study in studies) else "loss"
    _against_cost(axes, run, studies, name, grouped=True)
    axes.set_xscale("log")
    return figure


def costs(run: Recorded) -> Figure | None:
    """The loss that every estimator reaches for its cost; ``None`` if estimators were not compared."""
    studies = [study for study in run.labels if f"loss_at_equal_cost.{study}" in run.quantities and study in run.spent]
    if not studies:
        return None
    means = {study: run.quantities.get(f"error.{study}", {}).get("mean") for study in studies}
    errors = {study: max(mean, LEAST_ERROR) for study, mean in means.items() if mean is not None}
    figure, (loss, error) = plots(2, 2, (4.8, 4.0), width_ratios=(3, 2))
    _against_cost(loss, run, studies, "loss", grouped=True)
    loss.set_xscale("log")
    error.set_visible(bool(errors))
    for study, mean in errors.items():
        place = (run.quantities[f"cpu_seconds_per_episode.{study}"]["mean"], mean)
        error.plot(*place, "o", color=colour(studies.index(study)))
        error.annotate(plain(run.labels[study]), place, xytext=(5, 3), textcoords="offset points", fontsize=7)
    error.set(xscale="log", yscale="log", xlabel="CPU seconds per episode", ylabel="relative error")
    return figure


def _against_cost(axes: Axes, run: Recorded, studies: list[str], name: str, *, grouped: bool = False) -> None:
    """Draw a series of some studies against processor time; if asked to, as means over groups of steps."""
    for number, study in enumerate(studies):
        values = run.series[study][name]
        spent = run.spent[study] / values.shape[1]
        if grouped:
            values, spent = in_groups(values, spent)
        band(axes, spent, values, number, run.labels[study])
    axes.set(xlabel="CPU seconds per trial", ylabel="outer loss" if name == "loss" else name)
    axes.legend()


def in_groups(
    values: Float[np.ndarray, "steps trials"], spent: Float[np.ndarray, " steps"]
) -> tuple[Float[np.ndarray, "groups trials"], Float[np.ndarray, " groups"]]:
    """Means over groups of steps whose size grows by the same factor, and the time spent at the end of each group."""
    ends = np.unique(np.geomspace(1, len(values), POINTS).round().astype(int))
    groups = zip([0, *ends[:-1]], ends, strict=True)
    return np.stack([nan_mean(values[start:end], axis=0) for start, end in groups]), np.asarray(spent)[ends - 1]


def errors(run: Recorded) -> Figure | None:
    """Errors on logarithmic axes, one plot per problem; ``None`` if none were measured."""
    groups = run.by_group(study for study, series in run.series.items() if "error" in series)
    if run.options.x_values is None or not groups:
        return None
    figure, grid = plots(len(groups), len(groups), (3.6, 4.2), (2.2, 0.0), sharey=True)
    for axes, (title, studies) in zip(grid, groups.items(), strict=True):
        _errors(axes, run, studies, np.asarray(run.options.x_values))
        axes.set_title(plain(title), fontsize=10)
    grid[0].set_ylabel("relative error")
    grid[-1].legend(fontsize=6, **RIGHT)
    return figure


def _errors(axes: Axes, run: Recorded, names: list[str], x_values: np.ndarray) -> None:
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
    axes.set(xscale="log", yscale="log", xlabel=run.options.axis)


def streams(run: Recorded) -> Figure | None:
    """Scores against the number of things learned; ``None`` if no stream was scored on the way."""
    groups = run.by_group(name for name, series in run.series.items() if len(series.get("parts", ())) > 1)
    if not groups:
        return None
    figure, grid = plots(2 * len(groups), 2, (4.5, 3.6), (0.0, 0.7))
    for row, studies in zip(grid.reshape(-1, 2), groups.values(), strict=True):
        what = "accuracy" if "accuracy" in run.series[studies[0]] else "loss"
        for axes, name, of in zip(row, (what, f"{what}_seen"), ("held out", "seen examples"), strict=True):
            for number, study in enumerate(studies):
                series = run.series[study]
                band(axes, series["parts"][:, 0], series[name], number, run.studies[study].arm_label, "o-", ms=3)
            axes.set(ylabel=f"{what}, {of}", xlabel="learned one after the other")
            # An arm whose loss explodes now and then should not hide the others.
            axes.set(**{"ylim": (0, 1)} if what == "accuracy" else {"yscale": "log"})
    figure.legend(*grid[0].get_legend_handles_labels(), ncols=3, **BELOW)
    return figure


def regrets(run: Recorded) -> Figure | None:
    """Regret against the part of the game that is over; ``None`` if no wheel was played."""
    groups = run.by_group(name for name, series in run.series.items() if "regret" in series)
    if not groups:
        return None
    figure, grid = plots(len(groups), len(groups), (3.0, 3.8))
    for axes, (wheel, studies) in zip(grid, groups.items(), strict=True):
        for number, study in enumerate(studies):
            regret = run.series[study]["regret"]
            x = np.arange(1, len(regret) + 1) / len(regret)
            so_far = 100 * np.cumsum(regret, axis=0) / len(regret)
            band(axes, x, so_far, number, run.studies[study].arm_label, linewidth=1.3)
        axes.set(title=plain(wheel), yscale="log", xlabel="part of the game")
    grid[0].set_ylabel("regret (% of random)")
    figure.legend(*grid[0].get_legend_handles_labels(), ncols=4, fontsize=7, **BELOW)
    return figure
