"""Figures of long streams: accuracy against the number of classes learned, and effects of single updates."""

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaplax.reports.recorded import Recorded
from metaplax.reports.style import STYLE, band, beside, dots

STREAMS_CAPTION = (
    "Scores on everything learned so far while one thing is learned after the other: on held-out examples, and on those"
    " that were seen. Mean and 98 % bootstrap interval over trials."
)
UPDATES_CAPTION = (
    "Single updates after a stream: cosine to the negative gradient and cosine between updates of different classes,"
    " layer by layer; change of the loss of the example itself and of those of other classes. 98 % intervals."
)


@rc_context(STYLE)
def streams(run: Recorded) -> Figure | None:
    """Scores against the number of things learned; ``None`` if no stream was scored on the way."""
    groups = run.by_group(name for name, series in run.series.items() if len(series.get("parts", ())) > 1)
    if not groups:
        return None
    figure = Figure(figsize=(9.0, 3.6 * len(groups) + 0.7), layout="constrained")
    grid = figure.subplots(len(groups), 2, squeeze=False)
    for row, studies in zip(grid, groups.values(), strict=True):
        what = "accuracy" if "accuracy" in run.series[studies[0]] else "loss"
        for axes, name, of in zip(row, (what, f"{what}_seen"), ("held out", "seen examples"), strict=True):
            for number, study in enumerate(studies):
                series = run.series[study]
                band(axes, series["parts"][:, 0], series[name], number, run.studies[study].arm_label, "o-", ms=3)
            axes.set_ylabel(f"{what}, {of}")
            axes.set_xlabel("learned one after the other")
            if what == "accuracy":
                axes.set_ylim(0, 1)
            else:
                # An arm that explodes now and then should not hide the others.
                axes.set_yscale("log")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


@rc_context(STYLE)
def updates(run: Recorded) -> Figure | None:
    """Cosines of single updates, and changes of losses; ``None`` if they were not measured."""
    studies = run.measured("own_change")
    if not studies:
        return None
    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    descent, update, change = figure.subplots(1, 3)
    _cosines(descent, run, studies, "descent_cosine", "cosine to negative gradient")
    _cosines(update, run, studies, "update_cosine", "cosine between classes")
    for number, study in enumerate(studies):
        known = [run.quantities[f"{what}_change.{study}"] for what in ("own", "other")]
        dots(change, np.arange(2) + beside(number, len(studies)), known, number)
    change.axhline(0, color="#999999", linewidth=0.8)
    change.set_xticks([0, 1], ["own class", "other classes"])
    change.set_ylabel("change of the loss")
    descent.legend(fontsize=7)
    return figure


def _cosines(axes: Axes, run: Recorded, studies: list[str], name: str, label: str) -> None:
    for number, study in enumerate(studies):
        found = (f"{name}{layer}.{study}" for layer in range(1, 10))
        known = [run.quantities[quantity] for quantity in found if quantity in run.quantities]
        # The last layer of every arm is its output layer.
        x = np.arange(len(known)) - len(known) + beside(number, len(studies), 0.8)
        dots(axes, x, known, number, run.studies[study].arm_label)
    axes.axhline(0, color="#999999", linewidth=0.8)
    axes.set_xticks([-2, -1], ["hidden", "output"])
    axes.set_ylabel(label)
