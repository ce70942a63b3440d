"""Pools the trials of runs that differ in their seeds only."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from metaplax.analysis import over_trials
from metaplax.reports.recorded import Recorded


def pooled(runs: Sequence[Recorded]) -> list[Recorded]:
    """The runs in their order, those that differ in their seeds only as one run with the trials of all.

    Runs that have done different numbers of steps stay as they are, and so do runs with the same seed, whose trials are
    the same. What a run has computed from several studies is not pooled.
    """
    groups: dict[str, list[Recorded]] = {}
    for run in runs:
        groups.setdefault(json.dumps([_but_for_the_seed(run), _steps(run)], sort_keys=True), []).append(run)
    found = []
    for group in groups.values():
        seeds = [run.config["config"].get("seed") for run in group]
        found += [_as_one(group, seeds)] if len(set(seeds)) == len(seeds) > 1 else group
    return found


def _but_for_the_seed(run: Recorded) -> dict[str, Any]:
    kept = {name: run.config[name] for name in ("experiment", "data_sha256", "report", "studies")}
    code = (run.config.get("code") or {}).get("sha256")
    return kept | {"code": code, "config": {k: v for k, v in run.config["config"].items() if k != "seed"}}


def _steps(run: Recorded) -> dict[str, dict[str, int]]:
    return {study: {name: len(values) for name, values in series.items()} for study, series in run.series.items()}


def _as_one(runs: Sequence[Recorded], seeds: Sequence[Any]) -> Recorded:
    first = runs[0]
    shared = [name for name in first.per_trial if all(name in run.per_trial for run in runs)]
    per_trial = {name: np.concatenate([run.per_trial[name] for run in runs]) for name in shared}
    quantities = {}
    for name, values in per_trial.items():
        was = first.quantities[name]
        about = {key: was[key] for key in ("published", "published_source")}
        quantities[name] = over_trials(name, values, was["unit"]).as_json() | about
    finished = all(run.result for run in runs)
    timed = [study for study in first.spent if all(study in run.spent for run in runs)]
    return replace(
        first,
        config=first.config | {"config": first.config["config"] | {"seed": list(seeds)}},
        result={"seconds": sum(run.result.get("seconds", 0.0) for run in runs)} if finished else {},
        quantities=quantities,
        series={
            study: {name: np.concatenate([run.series[study][name] for run in runs], axis=1) for name in series}
            for study, series in first.series.items()
        },
        spent={study: np.sum([run.spent[study] for run in runs], axis=0) for study in timed},
        per_trial=per_trial,
        names=tuple(run.name for run in runs),
    )
