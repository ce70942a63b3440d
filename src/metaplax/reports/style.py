"""The look of all figures, and the marks that they share."""

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from metaplax.analysis import bootstrap_interval, nan_mean

COLOURS = ("#4c5a67", "#c44536", "#1f6f8b", "#6a4c93", "#2a9d5c", "#d98e04", "#8c564b", "#e377c2", "#7f7f7f", "#17becf")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "metaplax",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def colour(number: int) -> str:
    """The colour of a curve; colours repeat after ten curves."""
    return COLOURS[number % len(COLOURS)]


def plain(text: str) -> str:
    """Text that matplotlib does not take for mathematics."""
    return text.replace("$", r"\$")


def band(
    axes: Axes, x: Any, values: Float[np.ndarray, "steps trials"], number: int, label: str, mark: str = "-", **line: Any
) -> None:
    """Draw the mean over trials as a line, with a band for its 98 % interval.

    Args:
        axes: where to draw.
        x: positions of the steps, shape ``(steps,)``.
        values: the curve of every trial.
        number: selects the colour.
        label: entry in the legend.
        mark: line style in matplotlib's short notation.
        line: further properties of the line.
    """
    low, high = bootstrap_interval(values.T)
    axes.fill_between(x, low, high, color=colour(number), alpha=0.17, linewidth=0)
    axes.plot(x, nan_mean(values, axis=1), mark, color=colour(number), label=plain(label), **{"linewidth": 1.5, **line})


def dots(
    axes: Axes,
    x: Any,
    quantities: list[dict[str, Any]],
    number: int,
    label: str = "",
    mark: str = "o",
    *,
    sideways: bool = False,
) -> None:
    """Draw the means of quantities with bars for their intervals.

    Args:
        axes: where to draw.
        x: positions of the quantities.
        quantities: with ``mean``, ``ci_low`` and ``ci_high``.
        number: selects the colour.
        label: entry in the legend.
        mark: marker and line style in matplotlib's short notation.
        sideways: whether means run along the horizontal axis, and positions along the vertical one.
    """
    means = np.asarray([quantity["mean"] for quantity in quantities], float)
    ends = np.asarray([[quantity["ci_low"], quantity["ci_high"]] for quantity in quantities], float).reshape(-1, 2).T
    bars = np.abs(ends - means)
    places = (means, x, None, bars) if sideways else (x, means, bars, None)
    axes.errorbar(*places, fmt=mark, ms=4, color=colour(number))
    axes.lines[-1].set_label(plain(label) if label else "_")


def beside(number: int, count: int, width: float = 0.6) -> float:
    """Offset of one of several marks that share a position."""
    return width * (number / max(count - 1, 1) - 0.5)
