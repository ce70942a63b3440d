"""The figure of meta-gradients that are compared with the exact one."""

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaplax.analysis import bootstrap_interval, nan_mean
from metaplax.reports.recorded import Recorded
from metaplax.reports.style import COLOURS, STYLE, plain

ERRORS_CAPTION = (
    "Relative error of every meta-gradient. Mean and 98 % interval over trials. Broken lines: the inner loop"
    " misses its solution."
)
SHADES = ("-", "--", "-.", ":")


def errors(run: Recorded) -> Figure | None:
    """Errors on logarithmic axes, a plot for each problem; ``None`` if none were measured."""
    if run.places is None:
        return None
    groups: dict[str, list[str]] = {}
    for rule, label in run.labels.items():
        if "error" in run.series[rule]:
            groups.setdefault(label.partition(": ")[0], []).append(rule)
    if not groups:
        return None
    with rc_context(STYLE):
        figure = Figure(figsize=(3.6 * len(groups) + 2.2, 4.2), layout="constrained")
        grid = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
        for axes, (title, rules) in zip(grid, groups.items(), strict=True):
            _draw(axes, run, rules, run.places)
            axes.set_title(plain(title), fontsize=10, loc="left")
            axes.set_xlabel(run.axis)
        grid[0].set_ylabel("relative error")
        grid[-1].legend(fontsize=6, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _draw(axes: Axes, run: Recorded, rules: list[str], places: list[float]) -> None:
    names = [run.labels[rule].partition(": ")[2].partition(", missed by ") for rule in rules]
    estimators = list(dict.fromkeys(name for name, _, _ in names))
    misses = list(dict.fromkeys(miss for _, _, miss in names))
    for rule, (name, _, miss) in zip(rules, names, strict=True):
        values = run.series[rule]["error"]
        varied = len(values) > 1
        x = np.asarray(places if varied else [places[0], places[-1]])[: len(values) if varied else 2]
        y = values if varied else np.repeat(values, 2, axis=0)
        low, high = bootstrap_interval(y.T)
        colour = COLOURS[estimators.index(name) % len(COLOURS)]
        label = plain(name + (f", missed by {miss}" if miss else ""))
        axes.plot(x, nan_mean(y, axis=1), SHADES[misses.index(miss) % 4], color=colour, linewidth=1.2, label=label)
        axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
