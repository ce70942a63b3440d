"""Figures of the wheel bandit: how regret adds up, and what an agent does where."""

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from metaplax.analysis import bootstrap_interval, nan_mean
from metaplax.reports.recorded import Recorded
from metaplax.reports.style import COLOURS, STYLE, plain

REGRETS_CAPTION = (
    "Regret so far, in percent of what random actions regret in the whole game, for every wheel; mean and 98 %"
    " bootstrap interval over trials."
)
WHEELS_CAPTION = (
    "What the agents of the first trial did in the last contexts of a game; the circle is where the rim begins. In each"
    " quadrant of the rim one action pays much more than the others, inside the safe one (grey) is best."
)
ACTION_COLOURS = (*COLOURS[:4], "#bbbbbb")


def regrets(run: Recorded) -> Figure | None:
    """Regret against how much of a game is over; ``None`` if no wheel was played."""
    games: dict[str, dict[str, np.ndarray]] = {}
    for study, series in run.series.items():
        arm, _, wheel = study.partition(".")
        if "regret" in series:
            games.setdefault(wheel, {})[arm] = series["regret"]
    if not games:
        return None
    with rc_context(STYLE):
        figure = Figure(figsize=(3.0 * len(games), 3.8), layout="constrained")
        grid = figure.subplots(1, len(games), squeeze=False)[0]
        for axes, (wheel, arms) in zip(grid, games.items(), strict=True):
            for number, (arm, regret) in enumerate(arms.items()):
                _add_up(axes, regret, COLOURS[number % len(COLOURS)], _split(run, f"{arm}.{wheel}")[0])
            axes.set_title(_split(run, f"{next(iter(arms))}.{wheel}")[1], fontsize=9, loc="left")
            axes.set_yscale("log")
            axes.set_xlabel("part of the game")
        grid[0].set_ylabel("regret (% of random)")
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=7)
    return figure


def _add_up(axes: Axes, regret: np.ndarray, colour: str, label: str) -> None:
    rows = len(regret)
    so_far = 100 * np.cumsum(regret, axis=0) / rows
    low, high = bootstrap_interval(so_far.T)
    over = np.arange(1, rows + 1) / rows
    axes.fill_between(over, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(over, nan_mean(so_far, axis=1), color=colour, linewidth=1.3, label=label)


def wheels(run: Recorded) -> Figure | None:
    """Contexts coloured by what was done in them; ``None`` if no wheel was played."""
    drawn = {study: one for study, one in run.example_tasks.items() if "contexts" in one}
    if not drawn:
        return None
    arms = list(dict.fromkeys(study.partition(".")[0] for study in drawn))
    places = list(dict.fromkeys(study.partition(".")[2] for study in drawn))
    with rc_context(STYLE):
        figure = Figure(figsize=(1.7 * len(places) + 1.2, 1.8 * len(arms)), layout="constrained")
        grid = figure.subplots(len(arms), len(places), squeeze=False)
        for row, arm in zip(grid, arms, strict=True):
            for axes, place in zip(row, places, strict=True):
                axes.set_axis_off()
                if f"{arm}.{place}" in drawn:
                    _wheel(axes, drawn[f"{arm}.{place}"])
            label, _ = _split(run, f"{arm}.{places[0]}")
            row[0].text(-0.08, 0.5, label, transform=row[0].transAxes, rotation=90, va="center", ha="right", fontsize=7)
        for axes, place in zip(grid[0], places, strict=True):
            axes.set_title(_split(run, f"{arms[0]}.{place}")[1], fontsize=8)
    return figure


def _wheel(axes: Axes, one: dict) -> None:
    x, y = np.asarray(one["contexts"]).T
    axes.scatter(x, y, s=2, c=[ACTION_COLOURS[action] for action in one["actions"]], linewidths=0)
    axes.add_patch(Circle((0, 0), one["delta"], fill=False, color="#222222", linewidth=0.8))
    axes.set_aspect("equal")
    axes.set_xlim(-1.02, 1.02)
    axes.set_ylim(-1.02, 1.02)


def _split(run: Recorded, study: str) -> tuple[str, str]:
    """What an agent and its wheel are called."""
    label, _, wheel = plain(run.config["rules"][study]["label"]).rpartition(", ")
    return label, wheel
