"""The figures of a report, drawn from recorded series."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaplax.analysis import bootstrap_interval, nan_mean
from metaplax.reports.costs import COSTS_CAPTION, PROGRESS_CAPTION, costs, progress
from metaplax.reports.example_tasks import CURVES_CAPTION, SPIKES_CAPTION, curves, spikes
from metaplax.reports.gradient_errors import ERRORS_CAPTION, errors
from metaplax.reports.recorded import Recorded
from metaplax.reports.scan import SCAN_CAPTION, scan
from metaplax.reports.streams import STREAMS_CAPTION, UPDATES_CAPTION, streams, updates
from metaplax.reports.style import COLOURS, STYLE, plain
from metaplax.reports.transfers import transfers
from metaplax.reports.wheels import REGRETS_CAPTION, WHEELS_CAPTION, regrets, wheels

WINDOW = 10
"""Episodes of the trailing moving average, as in the published plots."""


@dataclass(frozen=True)
class Curve:
    """One line with a band: a series of shape ``(steps, trials)``, and what its steps count."""

    label: str
    values: np.ndarray
    axis: str = "episode"
    stride: int = 1


@dataclass(frozen=True)
class Panel:
    """One plot.

    Attributes:
        name: file name without ending.
        caption: what is to be seen.
        figure: the drawing.
    """

    name: str
    caption: str
    figure: Figure

    def svg(self) -> str:
        """The drawing as an ``<svg>`` element."""
        return as_svg(self.figure)


def panels(runs: Sequence[Recorded]) -> list[Panel]:
    """All figures that the runs have series for."""
    arms = [(rule, distinct_label(run, rule, runs), run) for run in runs for rule in run.labels]
    drawn = []
    for name, caption in (
        ("accuracy", "Query accuracy"),
        ("loss", "Outer loss"),
    ):
        curves = [
            Curve(label, run.series[rule][name], run.axis, run.stride)
            for rule, label, run in arms
            if name in run.series[rule]
        ]
        if curves:
            drawn.append(Panel(name, caption + _fine_print(curves), _one_axes(curves, name)))
    for name, caption, pattern, dress in FAMILIES:
        groups = [(label, _members(run, rule, pattern)) for rule, label, run in arms]
        groups = [(label, curves) for label, curves in groups if curves]
        if groups:
            drawn.append(Panel(name, caption + _fine_print(groups[0][1]), _side_by_side(groups, dress)))
    for run in runs:
        for name, caption, draw in OF_ONE_RUN:
            figure = draw(run)
            if figure is not None:
                drawn.append(Panel(name if len(runs) == 1 else f"{name}-{run.path.name}", caption, figure))
    return drawn


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
    ("transfers", "Accuracy of the rules, as they are, elsewhere, with 98 % intervals.", transfers),
    ("path", SCAN_CAPTION, scan),
)
"""Figures of a single run, for those runs that have what they show."""


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


FAMILIES: tuple[tuple[str, str, str, Callable[[Axes], None]], ...] = (
    ("coefficients", "Meta-learned coefficients", r"theta(.+)", _coefficients),
    ("angles", "Angle between the teaching signals and those of backprop, layer by layer", r"angle([1-9]\d*)", _angles),
    ("orthonormality", "Orthonormality error of the weights, layer by layer", r"orthonormality(\d+)", _orthonormality),
)
SYMBOLS = {"coefficients": "θ", "angles": "α", "orthonormality": "E"}


def _members(run: Recorded, rule: str, pattern: str) -> list[Curve]:
    found = [(re.fullmatch(pattern, name), values) for name, values in run.series[rule].items()]
    symbol = next(SYMBOLS[name] for name, _, p, _ in FAMILIES if p == pattern)
    curves = [Curve(f"{symbol}{match.group(1)}", values, run.axis, run.stride) for match, values in found if match]
    if symbol == "α":
        # The output layer's own error is never fed back: its angle is zero by definition.
        curves = curves[:-1]
    return curves


def distinct_label(run: Recorded, rule: str, runs: Sequence[Recorded]) -> str:
    """What to call a rule of a run, with the run's name where several runs have it."""
    twice = sum(rule in other.labels for other in runs) > 1
    return f"{run.labels[rule]} · {run.path.name}" if twice else run.labels[rule]


def _fine_print(curves: Sequence[Curve]) -> str:
    trials, first = curves[0].values.shape[1], curves[0]
    smoothed = f"; moving average over {WINDOW} {first.axis}s" if first.stride == 1 else ""
    return f" after each {first.axis}. Mean and 98 % bootstrap interval over {trials} trials{smoothed}."


def _one_axes(curves: Sequence[Curve], name: str) -> Figure:
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        axes = figure.subplots()
        for colour, curve in zip(_cycle(len(curves)), curves, strict=True):
            _draw(axes, curve, colour)
        axes.set_xlabel(curves[0].axis)
        axes.set_ylabel(name)
        if name == "accuracy":
            axes.set_ylim(0, 1)
        axes.legend(loc="best", fontsize=9)
    return figure


def _side_by_side(groups: Sequence[tuple[str, Sequence[Curve]]], dress: Callable[[Axes], None]) -> Figure:
    columns = min(3, len(groups))
    rows = -(-len(groups) // columns)
    with rc_context(STYLE):
        width = 7.2 if columns == 1 else 3.4 * columns
        figure = Figure(figsize=(width, 3.1 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (label, curves) in zip(grid, groups, strict=False):
            for colour, curve in zip(_cycle(len(curves)), curves, strict=True):
                _draw(axes, curve, colour)
            axes.set_title(plain(label), fontsize=10, loc="left")
            axes.set_xlabel(curves[0].axis)
            dress(axes)
            axes.legend(fontsize=8 if len(curves) <= 6 else 6, ncols=2 if len(curves) <= 6 else 3)
        for axes in grid[len(groups) :]:
            axes.set_visible(False)
    return figure


def _draw(axes: Axes, curve: Curve, colour: str) -> None:
    smooth = moving_average(curve.values, WINDOW if curve.stride == 1 else 1)
    low, high = bootstrap_interval(smooth.T)
    steps = curve.stride * np.arange(1, len(smooth) + 1)
    axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(steps, nan_mean(smooth, axis=1), color=colour, linewidth=1.6, label=plain(curve.label))


def moving_average(values: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Mean over the last ``window`` steps (fewer at the start), leaving NaN out."""
    return np.stack([nan_mean(values[max(0, i + 1 - window) : i + 1], axis=0) for i in range(len(values))])


def equation(latex: str) -> Figure:
    """A LaTeX equation as a drawing."""
    with rc_context({**STYLE, "mathtext.fontset": "cm"}):
        figure = Figure(figsize=(0.1, 0.1))
        figure.text(0, 0, f"${latex}$", fontsize=15)
    return figure


def as_svg(figure: Figure) -> str:
    """A drawing as an ``<svg>`` element without XML declaration or date."""
    text = io.StringIO()
    with rc_context(STYLE):
        figure.savefig(text, format="svg", bbox_inches="tight", pad_inches=0.05, metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def _cycle(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]
