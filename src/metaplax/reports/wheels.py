"""Figures of the wheel bandit: cumulative regret, and the actions of an agent by context."""

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from metaplax.reports.recorded import Recorded
from metaplax.reports.style import COLOURS, STYLE, band, plain

REGRETS_CAPTION = (
    "Regret so far, in percent of the regret of random actions in the whole game, for every wheel; mean and 98 %"
    " bootstrap interval over trials."
)
WHEELS_CAPTION = (
    "Actions of the agents of the first trial in the last contexts of a game; the circle is where the rim begins. In"
    " each quadrant of the rim one action pays much more than the others, inside the safe one (grey) is best."
)
ACTION_COLOURS = (*COLOURS[:4], "#bbbbbb")


@rc_context(STYLE)
def regrets(run: Recorded) -> Figure | None:
    """Regret against the part of the game that is over; ``None`` if no wheel was played."""
    groups = run.by_group(name for name, series in run.series.items() if "regret" in series)
    if not groups:
        return None
    figure = Figure(figsize=(3.0 * len(groups), 3.8), layout="constrained")
    grid = figure.subplots(1, len(groups), squeeze=False)[0]
    for axes, (wheel, studies) in zip(grid, groups.items(), strict=True):
        for number, study in enumerate(studies):
            regret = run.series[study]["regret"]
            x = np.arange(1, len(regret) + 1) / len(regret)
            so_far = 100 * np.cumsum(regret, axis=0) / len(regret)
            band(axes, x, so_far, number, run.studies[study].arm_label, linewidth=1.3)
        axes.set_title(plain(wheel), fontsize=9, loc="left")
        axes.set_yscale("log")
        axes.set_xlabel("part of the game")
    grid[0].set_ylabel("regret (% of random)")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7)
    return figure


@rc_context(STYLE)
def wheels(run: Recorded) -> Figure | None:
    """Contexts coloured by the action that was taken; ``None`` if no wheel was played."""
    drawn = [name for name, example in run.example_tasks.items() if "contexts" in example]
    if not drawn:
        return None
    groups, arms = run.by_group(drawn), run.arms(drawn)
    figure = Figure(figsize=(1.7 * len(groups) + 1.2, 1.8 * len(arms)), layout="constrained")
    grid = figure.subplots(len(arms), len(groups), squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for column, (wheel, studies) in zip(grid.T, groups.items(), strict=True):
        column[0].set_title(plain(wheel), fontsize=8)
        for study in studies:
            _wheel(column[arms[run.studies[study].arm]], run.example_tasks[study])
    labels = {run.studies[study].arm: plain(run.studies[study].arm_label) for study in drawn}
    for axes, label in zip(grid[:, 0], labels.values(), strict=True):
        axes.text(-0.08, 0.5, label, transform=axes.transAxes, rotation=90, va="center", ha="right", fontsize=7)
    return figure


def _wheel(axes: Axes, example: dict) -> None:
    x, y = np.asarray(example["contexts"]).T
    axes.scatter(x, y, s=2, c=[ACTION_COLOURS[action] for action in example["actions"]], linewidths=0)
    axes.add_patch(Circle((0, 0), example["delta"], fill=False, color="#222222", linewidth=0.8))
    axes.set_aspect("equal")
    axes.set_xlim(-1.02, 1.02)
    axes.set_ylim(-1.02, 1.02)
