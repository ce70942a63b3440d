"""The figure of meta-gradients that are compared by what they cost."""

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaplax.analysis import bootstrap_interval, nan_mean
from metaplax.reports.recorded import Recorded
from metaplax.reports.style import COLOURS, STYLE, plain

COSTS_CAPTION = (
    "Left: outer loss against processor time spent per trial, with 98 % intervals over trials. Right: relative error of"
    " the meta-gradient at the start of meta-training against processor time per episode."
)


PROGRESS_CAPTION = (
    "Query accuracy, or outer loss where there is none, against processor time spent per trial, with 98 % intervals"
    " over trials. The further right, the more steps are averaged."
)
POINTS = 60
"""Of every curve on a logarithmic axis, at most."""


def progress(run: Recorded) -> Figure | None:
    """Outer losses against processor time; ``None`` if the experiment does not ask for it."""
    rules = [rule for rule in run.labels if rule in run.spent and "loss" in run.series[rule]]
    name = "accuracy" if any("accuracy" in run.series[rule] for rule in rules) else "loss"
    if not rules or not run.config.get("by_cost"):
        return None
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        axes = figure.subplots()
        _against_cost(axes, run, rules, name, grouped=True)
        axes.set_xscale("log")
    return figure


def _against_cost(axes: Axes, run: Recorded, rules: list[str], name: str = "loss", *, grouped: bool = False) -> None:
    """Outer losses, or the like, of some rules against processor time; if asked to, means over groups of steps."""
    for k, rule in enumerate(rules):
        values = run.series[rule][name]
        spent = run.spent[rule] / values.shape[1]
        if grouped:
            values, spent = in_groups(values, spent)
        low, high = bootstrap_interval(values.T)
        colour = COLOURS[k % len(COLOURS)]
        axes.plot(spent, nan_mean(values, axis=1), color=colour, linewidth=1.4, label=plain(run.labels[rule]))
        axes.fill_between(spent, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xlabel("CPU seconds per trial")
    axes.set_ylabel("outer loss" if name == "loss" else name)
    axes.legend(fontsize=8)


def in_groups(
    values: Float[np.ndarray, "steps trials"], spent: Float[np.ndarray, " steps"]
) -> tuple[Float[np.ndarray, "groups trials"], Float[np.ndarray, " groups"]]:
    """Means over groups of steps that grow by the same factor, and what was spent at the end of each."""
    ends = np.unique(np.geomspace(1, len(values), POINTS).round().astype(int))
    groups = zip([0, *ends[:-1]], ends, strict=True)
    return np.stack([nan_mean(values[start:end], axis=0) for start, end in groups]), np.asarray(spent)[ends - 1]


def costs(run: Recorded) -> Figure | None:
    """How far every estimator gets for its cost; ``None`` if estimators were not compared."""
    rules = [rule for rule in run.labels if f"loss_at_equal_cost.{rule}" in run.quantities and rule in run.spent]
    if not rules:
        return None
    with rc_context(STYLE):
        figure = Figure(figsize=(9.6, 4.0), layout="constrained")
        loss, error = figure.subplots(1, 2, width_ratios=(3, 2))
        _against_cost(loss, run, rules)
        for k, rule in enumerate(rules):
            colour, label = COLOURS[k % len(COLOURS)], plain(run.labels[rule])
            # An error of zero has no place on a logarithmic axis.
            x, y = (run.quantities[f"{name}.{rule}"]["mean"] for name in ("cpu_seconds_per_episode", "error"))
            error.plot([x], [max(y or 0.0, 1e-9)], "o", color=colour)
            error.annotate(label, (x, max(y or 0.0, 1e-9)), xytext=(5, 3), textcoords="offset points", fontsize=7)
        error.set_xscale("log")
        error.set_yscale("log")
        error.set_xlabel("CPU seconds per episode")
        error.set_ylabel("relative error")
    return figure
