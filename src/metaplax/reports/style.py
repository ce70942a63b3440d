"""How all figures look."""

from typing import Any

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
