"""Figures of long streams: what is known after so many classes, and what single updates do."""

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaplax.analysis import bootstrap_interval, nan_mean
from metaplax.reports.recorded import Recorded
from metaplax.reports.style import COLOURS, STYLE, plain, points

STREAMS_CAPTION = (
    "What is known of everything so far while one thing is learned after the other: of what was held out, and of what"
    " was seen. Mean and 98 % bootstrap interval over trials."
)
UPDATES_CAPTION = (
    "Single updates after a stream: cosine to the negative gradient and cosine between updates of different classes,"
    " layer by layer; change of the loss of the example itself and of those of other classes. 98 % intervals."
)


def streams(run: Recorded) -> Figure | None:
    """Scores against how much was learned before; ``None`` if no stream was scored on the way."""
    by_place: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for study, series in run.series.items():
        arm, _, place = study.partition(".")
        if "parts" in series and len(series["parts"]) > 1:
            by_place.setdefault(place, {})[arm] = series
    if not by_place:
        return None
    with rc_context(STYLE):
        figure = Figure(figsize=(9.0, 3.6 * len(by_place) + 0.7), layout="constrained")
        grid = figure.subplots(len(by_place), 2, squeeze=False)
        for row, arms in zip(grid, by_place.values(), strict=True):
            what = "accuracy" if "accuracy" in next(iter(arms.values())) else "loss"
            for axes, name in zip(row, (what, f"{what}_seen"), strict=True):
                _against_parts(axes, run, arms, name)
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _against_parts(axes: Axes, run: Recorded, arms: dict[str, dict[str, np.ndarray]], name: str) -> None:
    for number, (arm, series) in enumerate(arms.items()):
        places, colour = series["parts"][:, 0], COLOURS[number % len(COLOURS)]
        low, high = bootstrap_interval(series[name].T)
        axes.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
        label = run.config["rules"].get(arm, {}).get("label", arm)
        axes.plot(places, nan_mean(series[name], axis=1), "o-", ms=3, color=colour, label=plain(label))
    what, _, seen = name.partition("_")
    axes.set_ylabel(f"{what}, {'what was seen' if seen else 'held out'}")
    axes.set_xlabel("learned one after the other")
    if what == "accuracy":
        axes.set_ylim(0, 1)
    else:
        # An arm that explodes now and then should not hide the others.
        axes.set_yscale("log")


def updates(run: Recorded) -> Figure | None:
    """Cosines of single updates, and what they change; ``None`` if there are none."""
    arms = [name.split(".")[1] for name in run.quantities if name.startswith("own_change.")]
    if not arms:
        return None
    with rc_context(STYLE):
        figure = Figure(figsize=(10.5, 3.4), layout="constrained")
        axes = figure.subplots(1, 3)
        _bars(axes[0], run, arms, "descent_cosine", "cosine to negative gradient")
        _bars(axes[1], run, arms, "update_cosine", "cosine between classes")
        _changes(axes[2], run, arms)
        axes[0].legend(fontsize=7)
    return figure


def _bars(axes: Axes, run: Recorded, arms: list[str], name: str, label: str) -> None:
    for number, arm in enumerate(arms):
        found = [f"{name}{layer}.{arm}.updates" for layer in range(1, 10)]
        known = [run.quantities[quantity] for quantity in found if quantity in run.quantities]
        # The last layer of every arm is its output layer.
        places = np.arange(len(known)) - len(known) + 0.8 * (number / max(len(arms) - 1, 1) - 0.5)
        means, errors = points(known)
        axes.errorbar(places, means, yerr=errors, fmt="o", ms=4, color=COLOURS[number % len(COLOURS)])
        axes.lines[-1].set_label(plain(run.config["rules"].get(arm, {}).get("label", arm)))
    axes.axhline(0, color="#999999", linewidth=0.8)
    axes.set_xticks([-2, -1], ["hidden", "output"])
    axes.set_ylabel(label)


def _changes(axes: Axes, run: Recorded, arms: list[str]) -> None:
    for number, arm in enumerate(arms):
        known = [run.quantities[f"{what}_change.{arm}.updates"] for what in ("own", "other")]
        means, errors = points(known)
        places = np.arange(2) + 0.6 * (number / max(len(arms) - 1, 1) - 0.5)
        axes.errorbar(places, means, yerr=errors, fmt="o", ms=4, color=COLOURS[number % len(COLOURS)])
    axes.axhline(0, color="#999999", linewidth=0.8)
    axes.set_xticks([0, 1], ["own class", "other classes"])
    axes.set_ylabel("change of the loss")
