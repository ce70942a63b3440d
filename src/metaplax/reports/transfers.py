"""The figure of rules used elsewhere, as they are."""

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from metaplax.reports.recorded import Recorded
from metaplax.reports.style import COLOURS, STYLE, plain, points


def transfers(run: Recorded) -> Figure | None:
    """Accuracy of every rule in every condition, with intervals; ``None`` if there was but meta-training."""
    found = run.transfers
    if not found:
        return None
    conditions = list(dict.fromkeys(condition for by_condition in found.values() for condition in by_condition))
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 1.2 + 0.3 * len(conditions) * max(1, len(found) / 5)), layout="constrained")
        axes = figure.subplots()
        for row, (rule, by_condition) in enumerate(found.items()):
            known = [
                (k, by_condition[c])
                for k, c in enumerate(conditions)
                if by_condition.get(c, {}).get("mean") is not None
            ]
            places = np.asarray([k for k, _ in known]) + 0.6 * (row / max(len(found) - 1, 1) - 0.5)
            means, errors = points([quantity for _, quantity in known])
            colour = COLOURS[row % len(COLOURS)]
            axes.errorbar(
                means, places, xerr=errors, fmt="o", ms=4, color=colour, label=plain(run.labels.get(rule, rule))
            )
        axes.set_yticks(range(len(conditions)), [condition.replace("_", " ") for condition in conditions])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("accuracy")
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
