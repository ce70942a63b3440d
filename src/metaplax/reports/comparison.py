"""Which arm of a run is better, and how two runs differ: differences between trials, with intervals."""

from typing import Any

import numpy as np

from metaplax.analysis import Difference, paired_difference, unpaired_difference
from metaplax.reports.pooling import pooled
from metaplax.reports.recorded import Recorded

LARGER_IS_BETTER = {"accuracy": True, "loss": False, "regret": False, "error": False}
"""By how the name of a quantity begins."""


def score(run: Recorded, what: str = "") -> tuple[str, bool] | None:
    """A quantity, by default the headline, and whether larger is better; ``None`` if it does not say what is better."""
    what = what or next(iter(run.headline), "")
    return next(((what, larger) for start, larger in LARGER_IS_BETTER.items() if what.startswith(start)), None)


def against_best(run: Recorded) -> dict[str, tuple[str, Difference]]:
    """How far every main study is from the best one of its group in the headline quantity, trial by trial.

    Arms of a run share their trials: the same keys and episodes.

    Returns:
        for each study but the best ones, from better to worse: the best study, and what is measured minus what that one
        measured; empty if the headline quantity is no score.
    """
    found, (what, larger_is_better) = {}, score(run) or ("", True)
    for group in run.by_group(run.labels).values():
        known = [study for study in group if np.isfinite(run.per_trial.get(f"{what}.{study}", np.nan)).any()]
        known.sort(key=lambda study: run.quantities[f"{what}.{study}"]["mean"], reverse=larger_is_better)
        for study in known[1:]:
            its, best = (run.per_trial[f"{what}.{name}"] for name in (study, known[0]))
            found[study] = (known[0], paired_difference(its, best))
    return found


def verdicts(run: Recorded) -> list[str]:
    """Which arm is the best, from the two best ones: a sentence without a full stop for each group of arms."""
    found, (what, larger_is_better) = {}, score(run) or ("", True)
    for study, (best, difference) in against_best(run).items():
        if best not in found:
            told = difference.reversed().sentence
            found[best] = told(run.labels[best], run.labels[study], what, larger_is_better=larger_is_better)
    return list(found.values())


def compare(first: Recorded, second: Recorded) -> list[dict[str, Any]]:
    """For every quantity that both runs measured: both means and intervals, and their difference, second minus first.

    Differences are paired if the runs share their trials: the same seed, data and number of trials. Those of runs that
    differ in their seeds only come with the mean and interval over the trials of both.
    """
    both = pooled([first, second])
    rows = []
    for name, a in first.quantities.items():
        b = second.quantities.get(name)
        if b is None or a["mean"] is None or b["mean"] is None:
            continue
        row: dict[str, Any] = {"name": name, "first": _entry(a), "second": _entry(b)}
        if len(both) == 1 and name in both[0].quantities:
            row["pooled"] = _entry(both[0].quantities[name])
        row |= _difference(first, second, name)
        ends = (a["ci_low"], a["ci_high"], b["ci_low"], b["ci_high"])
        row["overlap"] = None if None in ends else ends[0] <= ends[3] and ends[2] <= ends[1]
        rows.append(row)
    return rows


def _entry(quantity: dict[str, Any]) -> dict[str, Any]:
    return {"mean": quantity["mean"], "low": quantity["ci_low"], "high": quantity["ci_high"], "n": quantity["n"]}


def _difference(first: Recorded, second: Recorded, name: str) -> dict[str, Any]:
    """The difference of a quantity, and its interval, which is ``None`` if the values of the trials are not known."""
    pair = _values(second, name), _values(first, name)
    if not pair[0].size or not pair[1].size:
        return {"difference": second.quantities[name]["mean"] - first.quantities[name]["mean"], "interval": None}
    paired = _trials_of(first) == _trials_of(second) and len(pair[0]) == len(pair[1])
    found = (paired_difference if paired else unpaired_difference)(*pair)
    return {"difference": found.mean, "interval": found.as_json()}


def _values(run: Recorded, name: str) -> np.ndarray:
    """What was measured in every trial; empty if it is not known."""
    return np.asarray(run.per_trial.get(name, run.quantities[name].get("values", ())), float)


def _trials_of(run: Recorded) -> tuple[Any, str]:
    return run.config["config"].get("seed"), run.config["data_sha256"]
