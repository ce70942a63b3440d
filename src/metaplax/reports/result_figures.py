"""Figures of what ``meta_train`` has recorded, at the width of a journal's columns."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context

from metaplax.reports.style import STYLE, band, level, plots
from metaplax.runs import Row

WIDTHS = {"single": 85.0, "double": 178.0}
"""Millimetres of one and of two columns of a page, as most journals have them."""
FORMATS = (".svg", ".pdf", ".png")
INCH = 25.4
DOTS = 600
"""Dots per inch of a PNG."""
FEW = 6
"""Most curves whose names are written beside each other in one column."""


def draw_history(history: Sequence[Row], what: str, path: str | Path, width: str | float | int = "single") -> Path:
    """Draw a series against the meta-steps: its mean over trials, with a band for the 98 % interval, into a file.

    Args:
        history: one row per meta-step.
        what: name of a series, such as ``"loss"``; or ``"coefficients"`` for those of all terms of a rule.
        path: the file; its ending says whether it is SVG, PDF or PNG.
        width: of the whole figure: ``"single"`` (85 mm) or ``"double"`` (178 mm) for the columns of a journal, or
            millimetres.

    Returns:
        the file.

    Raises:
        ValueError: there is no such series, width or format.
        OSError: the file cannot be written.
    """
    path, known = Path(path), list(history[0]) if history else []
    names = [name for name in known if (re.match("theta", name) if what == "coefficients" else name == what)]
    if not names:
        raise ValueError(f"there is no {what!r} to draw: there are {', '.join(['coefficients', *known])}")
    if path.suffix.lower() not in FORMATS:
        raise ValueError(
            f"figures are written as {', '.join(FORMATS)}, not as {path.suffix or 'a file without ending'}"
        )
    millimetres = WIDTHS.get(width) if isinstance(width, str) else width
    if not millimetres or not 20 <= millimetres <= 1000:
        raise ValueError(f"the width is single, double, or 20 to 1000 mm, not {width!r}")
    inches = millimetres / INCH
    with rc_context({**STYLE, "font.size": 8, "legend.fontsize": 7}):
        figure, (axes,) = plots(1, 1, (inches, min(0.7 * inches, 2.6)))
        for number, name in enumerate(names):
            values = np.stack([np.asarray(row[name], float) for row in history])
            label = name.replace("theta", "θ", 1) if what == "coefficients" else name
            band(axes, np.arange(1, len(values) + 1), values, number, label, linewidth=1.0)
        if what == "coefficients":
            level(axes, 0.0)
            axes.legend(ncols=1 if len(names) <= FEW else 2)
        axes.set(xlabel="meta-step", ylabel="coefficient" if what == "coefficients" else what.replace("_", " "))
        figure.savefig(path, dpi=DOTS, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
    return path
