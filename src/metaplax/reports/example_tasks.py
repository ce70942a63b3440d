"""The figures of one task before and after adaptation: curves, spikes and voltages of a spiking network."""

from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaplax.reports.recorded import Recorded
from metaplax.reports.style import COLOURS, STYLE, plain

CURVES_CAPTION = (
    "One further task as the network of the first trial answers it, before (dotted) and after (solid) adaptation; the"
    " target is grey, dots are the samples it adapts to."
)
SPIKES_CAPTION = (
    "The same network in one sample of that task, before and after adaptation: spikes of all neurons, and voltages of"
    " four of them with their threshold (dashed; without what adaptation adds to it)."
)


def curves(run: Recorded) -> Figure | None:
    """What is wanted and what is said, for every rule; ``None`` if nothing was drawn."""
    drawn = {rule: run.example_tasks[rule] for rule in run.labels if rule in run.example_tasks}
    if not drawn:
        return None
    columns = min(2, len(drawn))
    rows = -(-len(drawn) // columns)
    with rc_context(STYLE):
        figure = Figure(figsize=(4.4 * columns, 2.9 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        for k, (axes, (rule, one)) in enumerate(zip(grid, drawn.items(), strict=False)):
            colour = COLOURS[k % len(COLOURS)]
            axes.plot(one["places"], one["target"], color="#999999", linewidth=2.5, alpha=0.6)
            axes.plot(one["places"], one["before"]["said"], color=colour, linewidth=1.0, linestyle=":")
            axes.plot(one["places"], one["after"]["said"], color=colour, linewidth=1.6)
            axes.plot(one["support_places"], one["support_target"], "o", color="#222222", markersize=3.5)
            axes.set_title(plain(run.labels[rule]), fontsize=9, loc="left")
            axes.set_xlabel(one["axis"])
        for axes in grid[len(drawn) :]:
            axes.set_visible(False)
        grid[0].set_ylabel("output")
    return figure


def spikes(run: Recorded) -> Figure | None:
    """Raster and voltages of the first rule that has them; ``None`` if nothing was drawn."""
    rule = next((rule for rule in run.labels if rule in run.example_tasks), None)
    if rule is None:
        return None
    example_task = run.example_tasks[rule]
    with rc_context(STYLE):
        figure = Figure(figsize=(8.8, 4.6), layout="constrained")
        grid = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(3, 2))
        for column, when in enumerate(("before", "after")):
            raster, traces = grid[:, column]
            raster.set_title(f"{plain(run.labels[rule])}, {when} adaptation", fontsize=9, loc="left")
            _raster(raster, example_task[when], example_task["dt"])
            _voltages(traces, example_task[when], example_task["dt"], example_task["threshold"])
        grid[0, 0].set_ylabel("neuron")
        grid[1, 0].set_ylabel("voltage")
    return figure


def _raster(axes: Axes, seen: dict[str, Any], dt: float) -> None:
    axes.plot(dt * np.asarray(seen["spike_steps"]), seen["spike_neurons"], "|", color="#222222", markersize=4)


def _voltages(axes: Axes, seen: dict[str, Any], dt: float, threshold: float) -> None:
    for colour, trace in zip(COLOURS, seen["voltages"], strict=False):
        axes.plot(dt * np.arange(len(trace)), trace, color=colour, linewidth=1.1)
    axes.axhline(threshold, color="#999999", linewidth=0.8, linestyle="--")
    axes.set_xlabel("time (ms)")
