"""The figures of a report, drawn from recorded series."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaplax.analysis import nan_mean
from metaplax.reports.conditions import SCAN_CAPTION, TRANSFERS_CAPTION, scan, transfers
from metaplax.reports.example_tasks import CURVES_CAPTION, SPIKES_CAPTION, curves, spikes
from metaplax.reports.meta_gradients import COSTS_CAPTION, ERRORS_CAPTION, PROGRESS_CAPTION, costs, errors, progress
from metaplax.reports.recorded import Recorded
from metaplax.reports.streams import STREAMS_CAPTION, UPDATES_CAPTION, streams, updates
from metaplax.reports.style import STYLE, band, plain
from metaplax.reports.wheels import REGRETS_CAPTION, WHEELS_CAPTION, regrets, wheels

WINDOW = 10
"""Steps of the trailing moving average, as in the published plots."""


@dataclass(frozen=True)
class Curve:
    """A curve with a band: a series of shape ``(steps, trials)``, and what its steps count."""

    label: str
    values: np.ndarray
    axis: str = "episode"
    stride: int = 1


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


def _coefficients(axes: Axes) -> None:
    axes.axhline(0, color="#999999", linewidth=0.8)
    axes.set_ylabel("coefficient")


def _angles(axes: Axes) -> None:
    axes.axhline(90, color="#999999", linewidth=0.8, linestyle="--")
    axes.set_ylim(0, 120)
    axes.set_ylabel("angle (degrees)")


def _orthonormality(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.set_ylabel("orthonormality error")


@dataclass(frozen=True)
class Family:
    """A figure with one plot per study, whose curves are the series with similar names.

    Attributes:
        name: file name of the figure.
        caption: first words of its caption.
        pattern: regular expression of the names of series; its group tells them apart.
        symbol: what curves are called, before that group.
        dress: finishes the axes of a plot.
    """

    name: str
    caption: str
    pattern: str
    symbol: str
    dress: Callable[[Axes], None]

    def curves(self, run: Recorded, study: str) -> list[Curve]:
        """The curves of one study."""
        matches = ((re.fullmatch(self.pattern, name), values) for name, values in run.series[study].items())
        found = [curve(run, f"{self.symbol}{match.group(1)}", values) for match, values in matches if match]
        # The output layer's own error is never fed back: its angle is zero by definition.
        return found[:-1] if self.name == "angles" else found


TEACHING = "Angle between the teaching signals and those of backprop, layer by layer"
ORTHONORMAL = "Orthonormality error of the weights, layer by layer"
FAMILIES = (
    Family("coefficients", "Meta-learned coefficients", r"theta(.+)", "θ", _coefficients),
    Family("angles", TEACHING, r"angle([1-9]\d*)", "α", _angles),
    Family("orthonormality", ORTHONORMAL, r"orthonormality(\d+)", "E", _orthonormality),
)
OF_ONE_RUN: tuple[tuple[str, str, Callable[[Recorded], Figure | None]], ...] = (
    ("costs", COSTS_CAPTION, costs),
    ("progress", PROGRESS_CAPTION, progress),
    ("curves", CURVES_CAPTION, curves),
    ("spikes", SPIKES_CAPTION, spikes),
    ("errors", ERRORS_CAPTION, errors),
    ("streams", STREAMS_CAPTION, streams),
    ("updates", UPDATES_CAPTION, updates),
    ("regrets", REGRETS_CAPTION, regrets),
    ("wheels", WHEELS_CAPTION, wheels),
    ("transfers", TRANSFERS_CAPTION, transfers),
    ("path", SCAN_CAPTION, scan),
)
"""Figures of a single run: name, caption, and a function that returns ``None`` for runs without such data."""


def panels(runs: Sequence[Recorded]) -> list[Panel]:
    """All figures that the runs have data for."""
    studies = [(study, distinct_label(run, study, runs), run) for run in runs for study in run.labels]
    drawn = []
    for name, caption in (("accuracy", "Query accuracy"), ("loss", "Outer loss")):
        shown = [
            curve(run, label, run.series[study][name]) for study, label, run in studies if name in run.series[study]
        ]
        if shown:
            drawn.append(Panel(name, caption + _fine_print(shown), _one_plot(shown, name)))
    for family in FAMILIES:
        groups = [(label, family.curves(run, study)) for study, label, run in studies]
        groups = [(label, shown) for label, shown in groups if shown]
        if groups:
            caption = family.caption + _fine_print(groups[0][1])
            drawn.append(Panel(family.name, caption, _plot_per_study(groups, family.dress)))
    for run in runs:
        for name, caption, draw in OF_ONE_RUN:
            figure = draw(run)
            if figure is not None:
                drawn.append(Panel(name if len(runs) == 1 else f"{name}-{run.path.name}", caption, figure))
    return drawn


def curve(run: Recorded, label: str, values: np.ndarray) -> Curve:
    """A series of a run as a curve."""
    return Curve(label, values, run.options.axis, run.options.stride)


def distinct_label(run: Recorded, study: str, runs: Sequence[Recorded]) -> str:
    """The label of a study, with the name of its run if several runs have such a study."""
    twice = sum(study in other.labels for other in runs) > 1
    return f"{run.labels[study]} · {run.path.name}" if twice else run.labels[study]


def _fine_print(shown: Sequence[Curve]) -> str:
    trials, first = shown[0].values.shape[1], shown[0]
    smoothed = f"; moving average over {WINDOW} {first.axis}s" if first.stride == 1 else ""
    return f" after each {first.axis}. Mean and 98 % bootstrap interval over {trials} trials{smoothed}."


@rc_context(STYLE)
def _one_plot(shown: Sequence[Curve], name: str) -> Figure:
    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axes = figure.subplots()
    _draw(axes, shown)
    axes.set_ylabel(name)
    if name == "accuracy":
        axes.set_ylim(0, 1)
    axes.legend(loc="best", fontsize=9)
    return figure


@rc_context(STYLE)
def _plot_per_study(groups: Sequence[tuple[str, Sequence[Curve]]], dress: Callable[[Axes], None]) -> Figure:
    columns = min(3, len(groups))
    rows = -(-len(groups) // columns)
    figure = Figure(figsize=(7.2 if columns == 1 else 3.4 * columns, 3.1 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (label, shown) in zip(grid, groups, strict=False):
        _draw(axes, shown)
        axes.set_title(plain(label), fontsize=10, loc="left")
        dress(axes)
        axes.legend(fontsize=8 if len(shown) <= 6 else 6, ncols=2 if len(shown) <= 6 else 3)
    for axes in grid[len(groups) :]:
        axes.set_visible(False)
    return figure


def _draw(axes: Axes, shown: Sequence[Curve]) -> None:
    for number, one in enumerate(shown):
        smooth = moving_average(one.values, WINDOW if one.stride == 1 else 1)
        band(axes, one.stride * np.arange(1, len(smooth) + 1), smooth, number, one.label)
    axes.set_xlabel(shown[0].axis)


def moving_average(values: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Mean over the last ``window`` steps (fewer at the start), leaving NaN out."""
    return np.stack([nan_mean(values[max(0, i + 1 - window) : i + 1], axis=0) for i in range(len(values))])


@rc_context({**STYLE, "mathtext.fontset": "cm"})
def equation(latex: str) -> Figure:
    """A LaTeX equation as a drawing."""
    figure = Figure(figsize=(0.1, 0.1))
    figure.text(0, 0, f"${latex}$", fontsize=15)
    return figure


@rc_context(STYLE)
def as_svg(figure: Figure) -> str:
    """A drawing as an ``<svg>`` element without XML declaration or date."""
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight", pad_inches=0.05, metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
