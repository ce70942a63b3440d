"""How all figures look."""

from typing import Any

import numpy as np

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


def plain(text: str) -> str:
    """Text that matplotlib does not take for mathematics."""
    return text.replace("$", r"\$")


def points(quantities: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Means, and how far the interval reaches to either side, of shape ``(2, points)``."""
    means = np.asarray([quantity["mean"] for quantity in quantities], float)
    ends = np.asarray([[quantity["ci_low"], quantity["ci_high"]] for quantity in quantities], float).reshape(-1, 2).T
    return means, np.abs(ends - means)
