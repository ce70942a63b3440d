"""The figures of a report, drawn from recorded series."""

import io
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from metaplax.analysis import nan_mean
from metaplax.reports.conditions import growth, scan, transfers, updates
from metaplax.reports.example_tasks import curves, spikes, wheels
from metaplax.reports.recorded import Recorded
from metaplax.reports.series import costs, errors, progress, regrets, streams
from metaplax.reports.style import STYLE, band, level, plain, plots
from metaplax.runs import ReportOptions

CAPTIONS: Mapping[str, str] = tomllib.loads(Path(__file__).with_name("captions.toml").read_text(encoding="utf-8"))
WINDOW = 10
"""Steps of the trailing moving average, as in the published plots."""
FEW = 6
"""Largest number of curves whose legend has two columns."""


@dataclass(frozen=True)
class Curve:
    """A curve with a band: a series of shape ``(steps, trials)``, after how many steps, and what these count."""

    label: str
    values: np.ndarray
    taken: np.ndarray
    options: ReportOptions


@dataclass(frozen=True)
class Panel:
    """One figure.

    Attributes:
        name: file name without ending.
        caption: text below the figure.
        figure: the drawing.
    """

    name: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Family:
    """A figure with one plot per study, whose curves are the series with similar names.

    Attributes:
        pattern: regular expression of the names of series; its group tells them apart.
        symbol: what curves are called, before that group.
        look: properties of the axes of every plot.
        level: height and style of a line to compare with.
        skips_last: whether the last curve is left out.
    """

    pattern: str
    symbol: str
    look: Mapping[str, Any]
    level: tuple[float, str] | None = None
    skips_last: bool = False

    def curves(self, run: Recorded, study: str) -> list[Curve]:
        """The curves of one study."""
        matches = ((re.fullmatch(self.pattern, name), values) for name, values in run.series[study].items())
        about = run.taken[study], run.options
        found = [Curve(f"{self.symbol}{match.group(1)}", values, *about) for match, values in matches if match]
        return found[:-1] if self.skips_last else found


FAMILIES = {
    "coefficients": Family(r"theta(.+)", "θ", {"ylabel": "coefficient"}, (0.0, "-")),
    # The output layer's own error is never fed back: its angle is zero by definition.
    "angles": Family(r"angle([1-9]\d*)", "α", {"ylim": (0, 120), "ylabel": "angle (degrees)"}, (90.0, "--"), True),
    "feedback": Family(
        r"feedback_cosine(\d+)", "layer ", {"ylabel": "cosine of forward and feedback weights"}, (0.0, "-")
    ),
    "orthonormality": Family(r"orthonormality(\d+)", "E", {"yscale": "log", "ylabel": "orthonormality error"}),
}
OF_ONE_RUN: Mapping[str, Callable[[Recorded], Figure | None]] = {
    "costs": costs, "progress": progress, "curves": curves, "spikes": spikes, "errors": errors, "streams": streams,
    "updates": updates, "regrets": regrets, "wheels": wheels, "transfers": transfers, "path": scan,
    "growth": growth,
}  # fmt: skip
"""Figures of a single run: functions that return ``None`` for runs without such data."""


@rc_context(STYLE)
def panels(runs: Sequence[Recorded]) -> list[Panel]:
    """All figures that the runs have data for."""
    studies = [(study, distinct_label(run, study, runs), run) for run in runs for study in run.labels]
    drawn = []
    for name in ("accuracy", "loss"):
        shown = [
            Curve(label, run.series[study][name], run.taken[study], run.options)
            for study, label, run in studies
            if name in run.series[study]
        ]
        if shown:
            drawn.append(Panel(name, _caption(name, shown), _one_plot(shown, name)))
    for name, family in FAMILIES.items():
        groups = [(label, family.curves(run, study)) for study, label, run in studies]
        groups = [(label, shown) for label, shown in groups if shown]
        if groups:
            drawn.append(Panel(name, _caption(name, groups[0][1]), _plot_per_study(groups, family)))
    for run in runs:
        for name, draw in OF_ONE_RUN.items():
            figure = draw(run)
            if figure is not None:
                caption = CAPTIONS[name].format(trials=run.trials)
                drawn.append(Panel(name if len(runs) == 1 else f"{name}-{run.path.name}", caption, figure))
    return drawn


def distinct_label(run: Recorded, study: str, runs: Sequence[Recorded]) -> str:
    """The label of a study, with the name of its run if several runs have such a study."""
    twice = sum(study in other.labels for other in runs) > 1
    return f"{run.labels[study]} · {run.name}" if twice else run.labels[study]


def _caption(name: str, shown: Sequence[Curve]) -> str:
    trials, options = shown[0].values.shape[1], shown[0].options
    smoothed = f"; moving average over {WINDOW} {options.axis}s" if options.stride == 1 else ""
    about = f"Mean and 98 % interval over {trials} trials{smoothed}."
    return f"{CAPTIONS[name]} after each {options.axis}. {about}"


def _one_plot(shown: Sequence[Curve], name: str) -> Figure:
    figure, (axes,) = plots(1, 1, (7.2, 3.8))
    _draw(axes, shown)
    axes.set(ylabel=name, **({"ylim": (0, 1)} if name == "accuracy" else {}))
    axes.legend(fontsize=9)
    return figure


def _plot_per_study(groups: Sequence[tuple[str, Sequence[Curve]]], family: Family) -> Figure:
    columns = min(3, len(groups))
    figure, grid = plots(len(groups), columns, (7.2 if columns == 1 else 3.4, 3.1))
    for axes, (label, shown) in zip(grid, groups, strict=True):
        _draw(axes, shown)
        axes.set_title(plain(label), fontsize=10)
        if family.level:
            level(axes, *family.level)
        axes.set(**family.look)
        axes.legend(fontsize=8 if len(shown) <= FEW else 6, ncols=2 if len(shown) <= FEW else 3)
    return figure


def _draw(axes: Axes, shown: Sequence[Curve]) -> None:
    for number, one in enumerate(shown):
        stride = one.options.stride
        smooth = moving_average(one.values, WINDOW if stride == 1 else 1)
        band(axes, stride * one.taken, smooth, number, one.label)
    axes.set_xlabel(shown[0].options.axis)


def moving_average(values: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Mean over the last ``window`` steps (fewer at the start), leaving NaN out."""
    before = np.full((window - 1, *values.shape[1:]), np.nan)
    return nan_mean(np.lib.stride_tricks.sliding_window_view(np.concatenate([before, values]), window, axis=0), axis=-1)


@rc_context({**STYLE, "mathtext.fontset": "cm"})
def equation(latex: str) -> Figure:
    """A LaTeX equation as a drawing; all have the same height, so that they stand on one line beside each other."""
    figure = Figure(figsize=(0.1, 0.1))
    figure.add_artist(Line2D([0, 0], [-0.9, 2.4], linewidth=0, alpha=0))
    figure.text(0, 0, f"${latex}$", fontsize=15)
    return figure


@rc_context(STYLE)
def as_svg(figure: Figure) -> str:
    """A drawing as an ``<svg>`` element without XML declaration or date."""
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight", pad_inches=0.05, metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
