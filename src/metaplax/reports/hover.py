"""What a page needs to know of a figure to show the values of its curves, and its colours on a dark page."""

import re
from typing import Any

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from metaplax.reports.style import CURVE

DARK = {
    "#ffffff": "#14181d", "#000000": "#e6e9ec", "#222222": "#e6e9ec", "#e6e6e6": "#2c333b", "#999999": "#8b959e",
    "#4c5a67": "#a9b8c6", "#c44536": "#ef7564", "#1f6f8b": "#56b4d3", "#6a4c93": "#b39ae0", "#2a9d5c": "#4cc584",
    "#d98e04": "#f0ae3a", "#8c564b": "#c08a7e", "#7f7f7f": "#a0a0a0",
}  # fmt: skip
"""Colours of figures, and those in their places on a dark page."""


def hover_values(figure: Figure) -> list[dict[str, Any]]:
    """The curves of every plot that has some, in data coordinates; names the plots in the drawing as well.

    Returns:
        for each plot: ``plot`` (the end of the id of its background), ``x`` (what the axis shows), ``ends`` and ``log``
        of that axis, and ``curves`` with a label, a colour and points ``x`` and ``y`` with four significant digits;
        ``None`` for values that are not finite.
    """
    found = []
    for number, axes in enumerate(figure.axes):
        curves = [line for line in axes.lines if str(line.get_gid() or "").startswith(CURVE)]
        if not curves:
            continue
        axes.patch.set_gid(f"plot-{number}")
        shown = [
            {
                "label": str(line.get_label()).replace(r"\$", "$"),
                "colour": to_hex(line.get_color()),
                "x": _short(line.get_xdata()),
                "y": _short(line.get_ydata()),
            }
            for line in curves
        ]
        log, ends = axes.get_xscale() == "log", [float(end) for end in axes.get_xlim()]
        found.append({"plot": f"plot-{number}", "x": axes.get_xlabel(), "ends": ends, "log": log, "curves": shown})
    return found


def _short(values: Any) -> list[float | None]:
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in np.asarray(values, float)]


def themed(svg: str) -> str:
    """The drawing with colours that a dark page replaces; elsewhere they are as they were."""

    def variable(match: re.Match[str]) -> str:
        colour = match.group(1)
        return f": var(--c{colour[1:]}, {colour})" if colour in DARK else match.group(0)

    return re.sub(r": (#[0-9a-f]{6})\b", variable, svg)
