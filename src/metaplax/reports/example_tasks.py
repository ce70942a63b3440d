"""Figures of one task before and after adaptation: curves, spikes and voltages of a spiking network."""

from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaplax.reports.recorded import Recorded
from metaplax.reports.style import COLOURS, STYLE, colour, plain

CURVES_CAPTION = (
    "One further task as the network of the first trial answers it, before (dotted) and after (solid) adaptation; the"
    " target is grey, dots are the samples it adapts to."
)
SPIKES_CAPTION = (
    "The same network in one sample of that task, before and after adaptation: spikes of all neurons, and voltages of"
    " four of them with their threshold (dashed; without what adaptation adds to it)."
)


@rc_context(STYLE)
def curves(run: Recorded) -> Figure | None:
    """Targets and outputs of every arm; ``None`` if no curve was recorded."""
    drawn = _drawn(run)
    if not drawn:
        return None
    columns = min(2, len(drawn))
    rows = -(-len(drawn) // columns)
    figure = Figure(figsize=(4.4 * columns, 2.9 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for number, (axes, (study, one)) in enumerate(zip(grid, drawn.items(), strict=False)):
        axes.plot(one["x_values"], one["target"], color="#999999", linewidth=2.5, alpha=0.6)
        axes.plot(one["x_values"], one["before"]["said"], color=colour(number), linewidth=1.0, linestyle=":")
        axes.plot(one["x_values"], one["after"]["said"], color=colour(number), linewidth=1.6)
        axes.plot(one["support_x_values"], one["support_target"], "o", color="#222222", markersize=3.5)
        axes.set_title(plain(run.labels[study]), fontsize=9, loc="left")
        axes.set_xlabel(one["axis"])
    for axes in grid[len(drawn) :]:
        axes.set_visible(False)
    grid[0].set_ylabel("output")
    return figure


@rc_context(STYLE)
def spikes(run: Recorded) -> Figure | None:
    """Raster and voltages of the first arm that has them; ``None`` if no spikes were recorded."""
    drawn = _drawn(run)
    if not drawn:
        return None
    study, one = next(iter(drawn.items()))
    figure = Figure(figsize=(8.8, 4.6), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(3, 2))
    for (raster, traces), when in zip(grid.T, ("before", "after"), strict=True):
        raster.set_title(f"{plain(run.labels[study])}, {when} adaptation", fontsize=9, loc="left")
        times = one["dt"] * np.asarray(one[when]["spike_steps"])
        raster.plot(times, one[when]["spike_neurons"], "|", color="#222222", markersize=4)
        _voltages(traces, one[when]["voltages"], one["dt"], one["threshold"])
    grid[0, 0].set_ylabel("neuron")
    grid[1, 0].set_ylabel("voltage")
    return figure


def _drawn(run: Recorded) -> dict[str, dict[str, Any]]:
    """Example tasks of main studies, by name."""
    return {study: run.example_tasks[study] for study in run.labels if study in run.example_tasks}


def _voltages(axes: Axes, voltages: list[list[float]], dt: float, threshold: float) -> None:
    for line, trace in zip(COLOURS, voltages, strict=False):
        axes.plot(dt * np.arange(len(trace)), trace, color=line, linewidth=1.1)
    axes.axhline(threshold, color="#999999", linewidth=0.8, linestyle="--")
    axes.set_xlabel("time (ms)")
