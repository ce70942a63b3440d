"""The look of all figures, and the marks that they share."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import rc_params_from_file
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaplax.analysis import interval, nan_mean

STYLE = rc_params_from_file(Path(__file__).with_name("figures.mplstyle"), use_default_template=False)
COLOURS = STYLE["axes.prop_cycle"].by_key()["color"]
GREY = "#999999"
RIGHT = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
"""Places a legend at the right of the axes."""
BELOW = {"loc": "outside lower center"}
"""Places a legend below the figure."""
CURVE = "curve-"
"""How the id of a curve in a drawing begins: pages show its values."""
MOST_POINTS = 400
"""Largest number of points of a curve: more are not seen, but would make the report slow and large."""


def plots(
    count: int, columns: int, size: tuple[float, float], margin: tuple[float, float] = (0.0, 0.0), **options: Any
) -> tuple[Figure, np.ndarray]:
    """A figure with plots row by row, and the axes of these plots, shape ``(count,)``.

    Args:
        count: number of plots.
        columns: number of plots in a row.
        size: width and height of a plot in inches.
        margin: width and height of what is beside and below the plots, in inches.
        options: of matplotlib's ``subplots``.
    """
    rows = -(-count // columns)
    figure = Figure(figsize=(size[0] * columns + margin[0], size[1] * rows + margin[1]), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options).ravel()
    for unused in axes[count:]:
        unused.set_visible(False)
    return figure, axes[:count]


def colour(number: int) -> str:
    """The colour of a curve; colours repeat after ten curves."""
    return COLOURS[number % len(COLOURS)]


def plain(text: str) -> str:
    """Text that matplotlib does not take for mathematics."""
    return text.replace("$", r"\$")


def level(axes: Axes, height: float, mark: str = "-") -> None:
    """Draw a thin grey line at a height to compare with."""
    axes.axhline(height, color=GREY, linewidth=0.8, linestyle=mark)


def beside(number: int, count: int, width: float = 0.6) -> float:
    """Offset of one of several marks that share a position."""
    return width * (number / max(count - 1, 1) - 0.5)


def band(
    axes: Axes, x: Any, values: Float[np.ndarray, "steps trials"], number: int, label: str, mark: str = "-", **line: Any
) -> None:
    """Draw the mean over trials as a line, with a band for its 98 % interval; the number selects the colour.

    Of a long curve, evenly spaced points are drawn.
    """
    shown = thinned(len(values))
    x, values = np.asarray(x)[shown], values[shown]
    low, high = interval(values.T)
    axes.fill_between(x, low, high, color=colour(number), alpha=0.17, linewidth=0)
    look = {"linewidth": 1.5, "gid": next_curve(axes), **line}
    axes.plot(x, nan_mean(values, axis=1), mark, color=colour(number), label=plain(label), **look)


def next_curve(axes: Axes) -> str:
    """The id of a curve that is about to be drawn, whose values a page shows under the pointer."""
    return f"{CURVE}{axes.figure.axes.index(axes)}-{len(axes.lines)}"


def thinned(count: int) -> np.ndarray:
    """Indices of the points of a curve that are drawn, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(int))


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
    """Draw the means of quantities at positions ``x`` with bars for their intervals; the number selects the colour.

    If ``sideways``, means run along the horizontal axis, and positions along the vertical one.
    """
    means = np.asarray([quantity["mean"] for quantity in quantities], float)
    ends = np.asarray([[quantity["ci_low"], quantity["ci_high"]] for quantity in quantities], float).reshape(-1, 2).T
    bars = np.abs(ends - means)
    places = (means, x, None, bars) if sideways else (x, means, bars, None)
    name = next_curve(axes)
    axes.errorbar(*places, fmt=mark, ms=4, color=colour(number))
    axes.lines[-1].set_label(plain(label) if label else "_")
    if label and not sideways:
        axes.lines[-1].set_gid(name)
