"""The report of a sweep: a table for every arm, lines or heat maps over its fields, links to all runs."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from metaplax._version import __version__
from metaplax.reports.html import drawn, template
from metaplax.reports.style import STYLE, dots, plain, plots
from metaplax.reports.sweep_results import Swept, read_sweep
from metaplax.runs import RunFolder
from metaplax.runs.sweep_folder import SweepFolder, value_text

WIDE = 30.0
"""Largest over smallest value of a field from which on its axis is logarithmic."""


def write_sweep(folder: SweepFolder | Path | str, target: Path | str | None = None) -> Path:
    """Write ``sweep.csv`` and the report of a sweep, finished or not; returns the path of the report.

    Raises:
        RunFolderError: it is not a sweep folder or damaged, or it cannot be written.
    """
    swept = read_sweep(folder.path if isinstance(folder, SweepFolder) else folder)
    place = swept.folder.path
    target = Path(target or place / "report.html")
    RunFolder(place).write_text("sweep.csv", swept.csv())
    labels = swept.any.labels if swept.any else {}
    figures = [
        drawn(f"sweep-{study}", _caption(swept, label), figure)
        for study, label in labels.items()
        if (figure := _figure(swept, study)) is not None
    ]
    page = template("sweep.html.jinja").render(
        swept=swept,
        title=f"Sweep: {swept.any.title if swept.any else swept.folder.plan['experiment']}",
        tables=[(label, swept.rows(study)) for study, label in labels.items()],
        figures=figures,
        states=swept.folder.states(),
        link=lambda name: quote(f"{os.path.relpath(place / name, target.parent)}/report.html"),
        value_text=value_text,
        version=__version__,
        written=time.strftime("%Y-%m-%d %H:%M"),
    )
    RunFolder(target.parent).write_text(target.name, page)
    return target


def _caption(swept: Swept, label: str) -> str:
    ends = "mean and 98 % interval over all trials of all seeds" if len(swept.fields) == 1 else "means over all trials"
    return f"{label}: {swept.what} of every setting, {ends}."


@rc_context(STYLE)
def _figure(swept: Swept, study: str) -> Figure | None:
    """Dots over one field, or colours over two; ``None`` for other numbers of fields, or if little is there."""
    known = [one for one in swept.settings if swept.mean(one, study) is not None]
    if len(known) < 2 or len(swept.fields) not in (1, 2):
        return None
    known.sort(key=lambda one: [_order(one.values[field]) for field in swept.fields])
    quantities = [one.pooled.quantities[f"{swept.what}.{study}"] for one in known if one.pooled]
    values = [[one.values[field] for one in known] for field in swept.fields]
    figure, (axes,) = plots(1, 1, (6.4, 3.4))
    axes.set(xlabel=plain(swept.fields[0]), ylabel=plain([*swept.fields, swept.what][1]))
    if len(values) == 1:
        dots(axes, _positions(axes, "x", values[0]), quantities, 0, mark="o-" if _numbers(values[0]) else "o")
    elif swept.folder.plan["search"]:
        places = [_positions(axes, letter, of_field) for letter, of_field in zip("xy", values, strict=True)]
        drawn = axes.scatter(*places, c=[quantity["mean"] for quantity in quantities], cmap="viridis")
        figure.colorbar(drawn, label=plain(swept.what))
    else:
        _heat(axes, values, [quantity["mean"] for quantity in quantities])
    return figure


def _numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _positions(axes: Axes, letter: str, values: Sequence[Any]) -> list[Any]:
    """Where values are on the axis x or y: at themselves, or one after the other if they are no numbers."""
    axis = axes.xaxis if letter == "x" else axes.yaxis
    if not _numbers(values):
        words = list(dict.fromkeys(map(value_text, values)))
        axis.set_ticks(range(len(words)), [plain(word) for word in words])
        return [words.index(value_text(value)) for value in values]
    if min(values) > 0 and max(values) >= WIDE * min(values):
        axes.set(**{f"{letter}scale": "log"})
        axis.set_minor_formatter(NullFormatter())
    return [*values]


def _heat(axes: Axes, values: Sequence[Sequence[Any]], means: Sequence[float]) -> None:
    """Means as colours and numbers; what is not finished stays white."""
    ticks = [sorted({value_text(value): value for value in of_field}.values(), key=_order) for of_field in values]
    grid = np.full((len(ticks[1]), len(ticks[0])), np.nan)
    for column, row, mean in zip(*values, means, strict=True):
        grid[ticks[1].index(row), ticks[0].index(column)] = mean
    axes.grid(visible=False)
    axes.imshow(grid, aspect="auto", origin="lower", cmap="viridis")
    middle = (np.nanmin(grid) + np.nanmax(grid)) / 2
    for (row, column), mean in np.ndenumerate(grid):
        if np.isfinite(mean):
            # Not quite white and black, which a dark page would exchange.
            colour = "#fefefe" if mean <= middle else "#010101"
            axes.text(column, row, f"{mean:.3g}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(ticks[0])), [plain(value_text(value)) for value in ticks[0]])
    axes.set_yticks(range(len(ticks[1])), [plain(value_text(value)) for value in ticks[1]])


def _order(value: Any) -> tuple[int, Any]:
    """Numbers by size, then anything else by its text."""
    return (0, value) if isinstance(value, int | float) else (1, value_text(value))
