"""Figures that compare arms: across conditions, across values of one number, and in single updates."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaplax.reports.recorded import Recorded
from metaplax.reports.style import GREY, RIGHT, beside, dots, level, plain, plots


def transfers(run: Recorded) -> Figure | None:
    """Accuracy of every arm in every condition, with intervals; ``None`` if there was only meta-training."""
    studies = run.measured("accuracy")
    if not studies:
        return None
    conditions = list(run.by_group(studies))
    arms = dict.fromkeys(run.studies[study].arm for study in studies)
    figure, (axes,) = plots(1, 1, (7.2, 1.2 + 0.3 * len(conditions) * max(1, len(arms) / 5)))
    for number, arm in enumerate(arms):
        known = [study for study in studies if run.studies[study].arm == arm]
        y = np.asarray([conditions.index(run.studies[study].group) for study in known]) + beside(number, len(arms))
        dots(axes, y, run.found("accuracy", known), number, run.studies[known[0]].arm_label, sideways=True)
    axes.set_yticks(range(len(conditions)), [plain(condition) for condition in conditions])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="accuracy")
    axes.legend(**RIGHT)
    return figure


def scan(run: Recorded) -> Figure | None:
    """Coefficients against the scanned number, accuracy against the number of terms left; ``None`` without a scan."""
    scanned = {study: run.studies[study].scanned for study in run.labels if f"accuracy.{study}" in run.quantities}
    values = {study: value for study, value in scanned.items() if value is not None}
    if not values or run.options.curve:
        return None
    figure, (path, price) = plots(2, 2, (4.8, 4.0), width_ratios=(3, 2))
    for number, term in enumerate(run.terms(next(iter(values)))):
        name = f"theta{term.name}"
        dots(path, list(values.values()), run.found(name, values), number, f"θ{term.name}", "o-")
    level(path, 0.0)
    path.set(xscale="log", xlabel=run.options.scanned, ylabel="coefficient")
    path.legend(ncols=2)
    for number, study in enumerate(values):
        (accuracy,) = run.found("accuracy", [study])
        coefficients = [run.quantities[f"theta{term.name}.{study}"] for term in run.terms(study)]
        ends = [(theta["ci_low"], theta["ci_high"]) for theta in coefficients]
        left = sum(low is not None and not low <= 0 <= high for low, high in ends)
        dots(price, [left], [accuracy], number)
        place = (left, accuracy["mean"])
        price.annotate(plain(run.labels[study]), place, xytext=(6, 4), textcoords="offset points", fontsize=8)
    price.set(xlabel="terms left", ylabel="accuracy", ylim=(0, 1))
    return figure


def growth(run: Recorded) -> Figure | None:
    """A quantity of every arm against the scanned number, and what was published; ``None`` without such a quantity."""
    name = run.options.curve
    known = [study for study in run.labels if name and f"{name}.{study}" in run.quantities]
    if not known:
        return None
    x, found = [run.studies[study].scanned for study in known], run.found(name, known)
    figure, (axes,) = plots(1, 1, (5.6, 4.2))
    dots(axes, x, found, 0, "measured")
    published = [(place, one["published"]) for place, one in zip(x, found, strict=True) if one["published"] is not None]
    if published:
        axes.plot(*zip(*published, strict=True), "D", ms=5, mfc="none", color=GREY, label="published")
    for study, place, one in zip(known, x, found, strict=True):
        axes.annotate(
            plain(run.labels[study]), (place, one["mean"]), xytext=(6, -8), textcoords="offset points", fontsize=7
        )
    axes.set(xscale="log", yscale="log", xlabel=run.options.scanned, ylabel=name.replace("_", " "))
    axes.legend()
    return figure


def updates(run: Recorded) -> Figure | None:
    """Cosines of single updates in the last condition, and what updates do to other examples in every one.

    ``None`` if they were not measured.
    """
    studies = run.measured("equal_other_change")
    if not studies:
        return None
    figure, (descent, update, change, drift) = plots(4, 2, (4.4, 3.4))
    conditions = run.by_group(studies)
    last = list(conditions.values())[-1]
    _cosines(descent, run, last, "descent_cosine", "cosine to negative gradient")
    _cosines(update, run, last, "update_cosine", "cosine between classes")
    for axes, name in ((change, "equal_other_change"), (drift, "equal_drift")):
        for number in range(len(last)):
            known = [run.quantities[f"{name}.{of_condition[number]}"] for of_condition in conditions.values()]
            dots(axes, np.arange(len(known)) + beside(number, len(last)), known, number)
        level(axes, 0.0)
        axes.set_xticks(range(len(conditions)), [plain(condition) for condition in conditions])
    change.set_ylabel("change of other losses")
    drift.set_ylabel("change of other outputs")
    descent.legend(fontsize=7)
    return figure


def _cosines(axes: Axes, run: Recorded, studies: list[str], name: str, label: str) -> None:
    for number, study in enumerate(studies):
        found = (f"{name}{layer}.{study}" for layer in range(1, 10))
        known = [run.quantities[quantity] for quantity in found if quantity in run.quantities]
        # The last layer of every arm is its output layer.
        x = np.arange(len(known)) - len(known) + beside(number, len(studies), 0.8)
        dots(axes, x, known, number, run.studies[study].arm_label)
    level(axes, 0.0)
    axes.set_xticks([-2, -1], ["hidden", "output"])
    axes.set_ylabel(label)
