"""The figure of accuracies in further conditions."""

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from metaplax.reports.recorded import Recorded
from metaplax.reports.style import STYLE, beside, dots, plain

TRANSFERS_CAPTION = "Accuracy of what was meta-learned, unchanged, in further conditions, with 98 % intervals."


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
