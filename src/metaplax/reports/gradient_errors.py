"""The figure of the errors of meta-gradients."""

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaplax.reports.recorded import Recorded
from metaplax.reports.style import STYLE, band, plain

ERRORS_CAPTION = (
    "Relative error of every meta-gradient. Mean and 98 % interval over trials. Broken lines: the inner loop"
    " misses its solution."
)
MARKS = ("-", "--", "-.", ":")


@rc_context(STYLE)
def errors(run: Recorded) -> Figure | None:
    """Errors on logarithmic axes, one plot per problem; ``None`` if none were measured."""
    groups = run.by_group(study for study, series in run.series.items() if "error" in series)
    if run.options.x_values is None or not groups:
        return None
    figure = Figure(figsize=(3.6 * len(groups) + 2.2, 4.2), layout="constrained")
    grid = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
    for axes, (title, studies) in zip(grid, groups.items(), strict=True):
        _draw(axes, run, studies, np.asarray(run.options.x_values))
        axes.set_title(plain(title), fontsize=10, loc="left")
        axes.set_xlabel(run.options.axis)
    grid[0].set_ylabel("relative error")
    grid[-1].legend(fontsize=6, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _draw(axes: Axes, run: Recorded, names: list[str], x_values: np.ndarray) -> None:
    """Draw the curves of one problem; an error that does not depend on the axis is a horizontal line."""
    studies = [run.studies[name] for name in names]
    estimators = list(dict.fromkeys(study.arm_label for study in studies))
    variants = list(dict.fromkeys(study.variant for study in studies))
    for name, study in zip(names, studies, strict=True):
        values = run.series[name]["error"]
        x = x_values[: len(values)] if len(values) > 1 else x_values[[0, -1]]
        y = values if len(values) > 1 else np.repeat(values, 2, axis=0)
        label = ", ".join(part for part in (study.arm_label, study.variant) if part)
        mark = MARKS[variants.index(study.variant) % len(MARKS)]
        band(axes, x, y, estimators.index(study.arm_label), label, mark, linewidth=1.2)
    axes.set_xscale("log")
    axes.set_yscale("log")
