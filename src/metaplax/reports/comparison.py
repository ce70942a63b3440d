"""Compares two runs."""

from typing import Any

from metaplax.reports.recorded import Recorded


def compare(first: Recorded, second: Recorded) -> list[dict[str, Any]]:
    """For every quantity that both runs measured: both means and intervals, their difference, and whether they overlap.

    The difference is the second minus the first.
    """
    rows = []
    for name, a in first.quantities.items():
        b = second.quantities.get(name)
        if b is None or a["mean"] is None or b["mean"] is None:
            continue
        ends = [{"mean": q["mean"], "low": q["ci_low"], "high": q["ci_high"], "n": q["n"]} for q in (a, b)]
        overlap = a["ci_low"] <= b["ci_high"] and b["ci_low"] <= a["ci_high"]
        difference = b["mean"] - a["mean"]
        rows.append(
            {"name": name, "first": ends[0], "second": ends[1], "difference": difference, "overlap": bool(overlap)}
        )
    return rows
