"""Computes the quantities of a result, with intervals over trials, from the rows of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from metaplax.analysis.intervals import interval, mean_and_interval, nan_mean
from metaplax.runs import ReportOptions, StudyDescription
from metaplax.runs.metrics import RECORD
from metaplax.runs.run_folder import finite

UNITS = {
    "accuracy": "fraction",
    "true_positive_rate": "fraction",
    "false_positive_rate": "fraction",
    "solved": "fraction",
    "angle": "degrees",
    "orthonormality": "squared activity",
    "onset": "images",
    "explosion": "images",
    "masked": "episodes",
    "cpu_seconds_per_episode": "s",
    "explained": "percent",
}
NOT_QUANTITIES = {*RECORD, "masked", "meta_batch", "parts"}


@dataclass(frozen=True)
class Published:
    """A published number.

    Attributes:
        value: the number; ``None`` where the source gives none.
        source: figure, table or text that it was read from.
    """

    value: float | None = None
    source: str = ""


@dataclass(frozen=True)
class Quantity:
    """A number that a run measured, with its interval over trials.

    Attributes:
        name: dotted: what was measured, then the study, such as ``accuracy.f_bio``.
        mean: mean over trials.
        ci_low: lower end of the 98 % interval of the mean, see ``interval``; NaN for a single trial.
        ci_high: upper end of that interval.
        n: number of trials with a finite value.
        unit: unit of the mean.
        published: the published number, if there is one.
        published_source: where it was published.
        values: what was measured in every trial, to single precision, or NaN; empty for a single trial.
    """

    name: str
    mean: float
    ci_low: float
    ci_high: float
    n: int
    unit: str
    published: float | None = None
    published_source: str | None = None
    values: tuple[float, ...] = ()

    def with_interval(self, factor: float = 1.0) -> str:
        """Mean, interval and number of trials as text, multiplied by a factor; a single trial has no interval."""
        return mean_and_interval(factor * self.mean, factor * self.ci_low, factor * self.ci_high, self.n, 3)

    def as_json(self) -> dict[str, Any]:
        """The entry of ``result.json``; numbers that are not finite are ``None``."""
        entry = asdict(self)
        if not self.values:
            del entry["values"]
        return finite(entry)


def per_trial(
    rows: Sequence[Mapping[str, Any]], studies: Mapping[str, StudyDescription], options: ReportOptions
) -> dict[str, np.ndarray]:
    """One number per trial of every quantity of a run, by name, study by study in the order in which they were run.

    Quantities are averaged over the last steps that were recorded, in studies with a condition over all steps; those of
    streams that are scored on the way, and coefficients, are the values after the last step.

    Args:
        rows: of the run.
        studies: descriptions of its studies, by name.
        options: how many steps are averaged over.

    Returns:
        arrays of shape ``(trials,)``; processor time is measured for all trials together and has shape ``(1,)``.
    """
    found = {}
    for study, of_study in by_study(rows).items():
        steps = [row for row in of_study if not row.get("final")]
        final = next((row for row in reversed(of_study) if row.get("final")), {})
        if not steps:
            continue
        last = len(steps) if study in studies and studies[study].condition else options.averaged
        last = 1 if "parts" in steps[-1] else last
        for name in [name for name in {**steps[-1], **final} if name not in NOT_QUANTITIES]:
            source = [final] if name in final else steps[-1 if name.startswith("theta") else -last :]
            found[f"{name}.{study}"] = nan_mean(np.asarray([row[name] for row in source], float), axis=0)
        if "masked" in final or ("masked" in steps[-1] and not any("stride" in row for row in steps)):
            masked = [final] if "masked" in final else steps
            found[f"masked.{study}"] = np.sum([row["masked"] for row in masked], axis=0, dtype=float)
        if "loss" in steps[-1] and ("cpu_seconds" in steps[-1] or "cpu_seconds_per_episode" in final):
            spent = np.asarray([cost_per_step(of_study)])
            found[f"cpu_seconds_per_episode.{study}"] = spent / len(steps[-1]["loss"]) / episodes_of(steps[-1])
    return found


def quantities(
    rows: Sequence[Mapping[str, Any]],
    studies: Mapping[str, StudyDescription],
    options: ReportOptions,
    published: Mapping[str, Published],
) -> list[Quantity]:
    """All quantities of a run: means over trials of what ``per_trial`` returns, with intervals.

    Args:
        rows: of the run.
        studies: descriptions of its studies, by name.
        options: how many steps are averaged over, and the unit of outer losses.
        published: published numbers, by name of the quantity.
    """
    found = per_trial(rows, studies, options)
    return [over_trials(name, values, _unit(name, options.loss_unit), published) for name, values in found.items()]


def by_study(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Rows by study, in the order in which the studies were run."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["study"], []).append(row)
    return found


def cost_per_step(of_study: Sequence[Mapping[str, Any]]) -> float:
    """Processor seconds of one step of all trials, from the rows of one study.

    They follow from ``cpu_seconds_per_episode`` in its final row, where a study has measured that on its own. Elsewhere
    it is the median over the steps, as the first ones of a process take longer.
    """
    steps = [row for row in of_study if not row.get("final")]
    measured = [row["cpu_seconds_per_episode"] for row in of_study if "cpu_seconds_per_episode" in row]
    if measured:
        return float(np.sum(measured[-1])) * episodes_of(steps[-1])
    return float(np.median([row["cpu_seconds"] / row.get("stride", 1) for row in steps]))


def spent_until(of_study: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Processor seconds of all trials up to each recorded step, shape ``(steps,)``, see ``cost_per_step``."""
    steps = [row for row in of_study if not row.get("final")]
    if any("cpu_seconds_per_episode" in row for row in of_study):
        return cost_per_step(of_study) * np.asarray([row["step"] + 1 for row in steps])
    return np.cumsum([row["cpu_seconds"] for row in steps])


def episodes_of(row: Mapping[str, Any]) -> int:
    """Number of episodes of each trial in one step."""
    return int(row["meta_batch"][0]) if "meta_batch" in row else 1


def over_trials(
    name: str, values: Sequence[float] | np.ndarray, unit: str, published: Mapping[str, Published] | None = None
) -> Quantity:
    """The mean over trials of one number per trial, shape ``(trials,)``, with its interval; NaN is left out.

    The interval of a fraction ends at 0 and 1. Published numbers are given by name of the quantity.
    """
    values = np.asarray(values, float)
    low, high = interval(values)
    if unit == "fraction":
        low, high = np.maximum(low, 0.0), np.minimum(high, 1.0)
    paper = (published or {}).get(name)
    return Quantity(
        name=name,
        mean=float(nan_mean(values, axis=0)),
        ci_low=float(low),
        ci_high=float(high),
        n=int(np.isfinite(values).sum()),
        unit=unit,
        published=paper.value if paper else None,
        published_source=paper.source if paper else None,
        # As text a number of single precision has nine digits, where the same number in double precision has seventeen.
        values=tuple(float(str(np.float32(value))) for value in values) if values.size > 1 else (),
    )


def _unit(name: str, loss_unit: str) -> str:
    if name.startswith("loss."):
        return loss_unit
    return next((unit for start, unit in UNITS.items() if name.startswith(start)), "1")
