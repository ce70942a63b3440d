"""Figures that compare arms across conditions, or across values of one number in which they differ."""

from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaplax.reports.recorded import Recorded
from metaplax.reports.style import STYLE, beside, dots, plain

TRANSFERS_CAPTION = "Accuracy of what was meta-learned, unchanged, in further conditions, with 98 % intervals."
SCAN_CAPTION = (
    "Learned coefficients against the number that was varied, and accuracy against the number of terms whose 98 %"
    " interval over trials does not contain zero."
)


@rc_context(STYLE)
def transfers(run: Recorded) -> Figure | None:
    """Accuracy of every arm in every condition, with intervals; ``None`` if there was only meta-training."""
    studies = run.measured("accuracy")
    if not studies:
        return None
    conditions, arms = list(run.by_group(studies)), run.arms(studies)
    figure = Figure(figsize=(7.2, 1.2 + 0.3 * len(conditions) * max(1, len(arms) / 5)), layout="constrained")
    axes = figure.subplots()
    for arm, number in arms.items():
        known = [study for study in studies if run.studies[study].arm == arm]
        y = np.asarray([conditions.index(run.studies[study].group) for study in known]) + beside(number, len(arms))
        found = [run.quantities[f"accuracy.{study}"] for study in known]
        dots(axes, y, found, number, run.studies[known[0]].arm_label, sideways=True)
    axes.set_yticks(range(len(conditions)), [plain(condition) for condition in conditions])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("accuracy")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


@rc_context(STYLE)
def scan(run: Recorded) -> Figure | None:
    """Coefficients against the scanned number, accuracy against the number of terms left; ``None`` without a scan."""
    scanned = {study: run.studies[study].scanned for study in run.labels if f"accuracy.{study}" in run.quantities}
    values = {study: value for study, value in scanned.items() if value is not None}
    if not values:
        return None
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    path, price = figure.subplots(1, 2, width_ratios=(3, 2))
    for number, term in enumerate(run.terms(next(iter(values)))):
        quantities = [run.quantities[f"theta{term.name}.{study}"] for study in values]
        dots(path, list(values.values()), quantities, number, f"θ{term.name}", "o-")
    path.axhline(0, color="#999999", linewidth=0.8)
    path.set_xscale("log")
    path.set_xlabel(run.options.scanned)
    path.set_ylabel("coefficient")
    path.legend(fontsize=8, ncols=2)
    _price(price, run, list(values))
    return figure


def _price(axes: Axes, run: Recorded, studies: list[str]) -> None:
    """Draw accuracy against the number of terms that are left."""
    for number, study in enumerate(studies):
        accuracy = run.quantities[f"accuracy.{study}"]
        left = sum(_differs(run.quantities[f"theta{term.name}.{study}"]) for term in run.terms(study))
        dots(axes, [left], [accuracy], number)
        place = (left, accuracy["mean"])
        axes.annotate(plain(run.labels[study]), place, xytext=(6, 4), textcoords="offset points", fontsize=8)
    axes.set_xlabel("terms left")
    axes.set_ylabel("accuracy")
    axes.set_ylim(0, 1)


def _differs(quantity: dict[str, Any]) -> bool:
    """Whether the interval does not contain zero."""
    return not quantity["ci_low"] <= 0 <= quantity["ci_high"]
