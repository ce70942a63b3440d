"""Figures of one task: curves, spikes and voltages before and after adaptation, and the actions of a bandit's agent."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from metaplax.reports.recorded import Recorded
from metaplax.reports.style import COLOURS, GREY, colour, level, next_curve, plain, plots

ACTION_COLOURS = (*COLOURS[:4], "#bbbbbb")
BLACK = "#222222"


def curves(run: Recorded) -> Figure | None:
    """Targets and outputs of every arm; ``None`` if no curve was recorded."""
    drawn = run.main_tasks()
    if not drawn:
        return None
    figure, grid = plots(len(drawn), min(2, len(drawn)), (4.4, 2.9), sharex=True, sharey=True)
    for number, (axes, (study, task)) in enumerate(zip(grid, drawn.items(), strict=True)):
        for label, values, look in (
            ("target", task["target"], {"color": GREY, "linewidth": 2.5, "alpha": 0.6}),
            ("before adaptation", task["before"]["said"], {"color": colour(number), "linewidth": 1.0, "ls": ":"}),
            ("after adaptation", task["after"]["said"], {"color": colour(number), "linewidth": 1.6}),
        ):
            axes.plot(task["x_values"], values, label=label, gid=next_curve(axes), **look)
        axes.plot(task["support_x_values"], task["support_target"], "o", color=BLACK, markersize=3.5)
        axes.set(title=plain(run.labels[study]), xlabel=task["axis"])
    grid[0].set_ylabel("output")
    return figure


def spikes(run: Recorded) -> Figure | None:
    """Raster and voltages of the first arm that has them; ``None`` if no spikes were recorded."""
    drawn = run.main_tasks()
    if not drawn:
        return None
    study, task = next(iter(drawn.items()))
    figure, grid = plots(4, 2, (4.4, 2.3), sharex=True, sharey="row", height_ratios=(3, 2))
    for (raster, voltages), when in zip(grid.reshape(2, 2).T, ("before", "after"), strict=True):
        shown = task[when]
        raster.set_title(f"{plain(run.labels[study])}, {when} adaptation")
        raster.plot(task["dt"] * np.asarray(shown["spike_steps"]), shown["spike_neurons"], "|", color=BLACK, ms=4)
        for line, trace in zip(COLOURS, shown["voltages"], strict=False):
            voltages.plot(task["dt"] * np.arange(len(trace)), trace, color=line, linewidth=1.1)
        level(voltages, float(task["threshold"]), "--")
        voltages.set_xlabel("time (ms)")
    grid[0].set_ylabel("neuron")
    grid[2].set_ylabel("voltage")
    return figure


def wheels(run: Recorded) -> Figure | None:
    """Contexts coloured by the action that was taken; ``None`` if no wheel was played."""
    drawn = [name for name, task in run.example_tasks.items() if "contexts" in task]
    if not drawn:
        return None
    games = list(run.by_group(drawn))
    arms = {run.studies[name].arm: run.studies[name].arm_label for name in drawn}
    figure, grid = plots(len(arms) * len(games), len(games), (1.7, 1.8), (1.2, 0.0))
    grid = grid.reshape(len(arms), len(games))
    for axes in grid.ravel():
        axes.set_axis_off()
    for axes, game in zip(grid[0], games, strict=True):
        axes.set_title(plain(game), fontsize=8, loc="center")
    for axes, label in zip(grid[:, 0], arms.values(), strict=True):
        axes.text(-0.08, 0.5, plain(label), transform=axes.transAxes, rotation=90, va="center", ha="right", fontsize=7)
    for name in drawn:
        study, task = run.studies[name], run.example_tasks[name]
        axes = grid[list(arms).index(study.arm), games.index(study.group)]
        axes.scatter(*np.asarray(task["contexts"]).T, s=2, c=[ACTION_COLOURS[a] for a in task["actions"]], linewidths=0)
        axes.add_patch(Circle((0, 0), task["delta"], fill=False, color=BLACK, linewidth=0.8))
        axes.set(aspect="equal", xlim=(-1.02, 1.02), ylim=(-1.02, 1.02))
    return figure
