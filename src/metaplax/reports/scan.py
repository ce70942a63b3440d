"""The figure of rules that differ in one number, such as the strength of a penalty: the regularisation path."""

from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaplax.reports.recorded import Recorded
from metaplax.reports.style import COLOURS, STYLE, points

SCAN_CAPTION = (
    "Learned coefficients against what was scanned, and accuracy against how many terms are left: those whose 98 %"
    " interval over trials does not hold zero."
)


def scan(run: Recorded) -> Figure | None:
    """Coefficients against the scanned number, accuracy against how many terms are left; ``None`` if nothing was."""
    if run.scan is None:
        return None
    name, values = run.scan
    rules = [rule for rule in values if rule in run.labels and f"accuracy.{rule}" in run.quantities]
    if not rules:
        return None
    with rc_context(STYLE):
        figure = Figure(figsize=(9.6, 4.0), layout="constrained")
        path, price = figure.subplots(1, 2, width_ratios=(3, 2))
        for k, term in enumerate(run.terms(rules[0])):
            quantities = [run.quantities[f"theta{term.name}.{rule}"] for rule in rules]
            means, errors = points(quantities)
            colour = COLOURS[k % len(COLOURS)]
            path.errorbar([values[rule] for rule in rules], means, yerr=errors, fmt="o-", ms=3, color=colour)
            path.lines[-1].set_label(f"θ{term.name}")
        path.axhline(0, color="#999999", linewidth=0.8)
        path.set_xscale("log")
        path.set_xlabel(name)
        path.set_ylabel("coefficient")
        path.legend(fontsize=8, ncols=2)
        _price(price, run, rules)
    return figure


def _price(axes: Axes, run: Recorded, rules: list[str]) -> None:
    """Accuracy against the number of terms that are left."""
    for k, rule in enumerate(rules):
        means, errors = points([run.quantities[f"accuracy.{rule}"]])
        left = sum(_differs(run.quantities[f"theta{term.name}.{rule}"]) for term in run.terms(rule))
        axes.errorbar([left], means, yerr=errors, fmt="o", color=COLOURS[k % len(COLOURS)])
        axes.annotate(run.labels[rule], (left, means[0]), xytext=(6, 4), textcoords="offset points", fontsize=8)
    axes.set_xlabel("terms left")
    axes.set_ylabel("accuracy")
    axes.set_ylim(0, 1)


def _differs(quantity: dict[str, Any]) -> bool:
    """Whether the interval does not hold zero."""
    return not quantity["ci_low"] <= 0 <= quantity["ci_high"]
