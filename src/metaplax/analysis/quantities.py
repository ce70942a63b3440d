"""From the rows of a run to the quantities of its result."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from metaplax.analysis.bootstrap import bootstrap_interval, nan_mean

LAST = 100
"""Episodes that a quantity is averaged over."""

UNITS = {
    "accuracy": "fraction",
    "angle": "degrees",
    "orthonormality": "squared activity",
    "onset": "images",
}
NOT_QUANTITIES = {"rule", "step", "seconds", "cpu_seconds", "final", "masked", "episodes", "parts"}


@dataclass(frozen=True)
class Published:
    """A number from a paper, and where it stands there.

    ``source`` says which figure, table or text it was read from; ``value`` is ``None`` where that gives no number.
    """

    value: float | None
    source: str


@dataclass(frozen=True)
class Quantity:
    """A number that a run measured, with its interval over trials and what was published.

    ``name`` is dotted: ``accuracy.f_bio``. Accuracies, losses and angles are averaged over the last 100
    episodes and then over trials; coefficients are those after the last episode.
    """

    name: str
    mean: float
    ci_low: float
    ci_high: float
    n: int
    unit: str
    published: float | None = None
    published_source: str | None = None

    def with_interval(self, factor: float = 1.0) -> str:
        """Mean and interval, times a factor, in words; a single trial has no interval."""
        mean, low, high = (f"{factor * value:.3g}" for value in (self.mean, self.ci_low, self.ci_high))
        return mean if self.n == 1 else f"{mean} [{low}, {high}]"

    def as_json(self) -> dict[str, Any]:
        """As it stands in ``result.json``: what is not finite is ``None``."""
        values = asdict(self)
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in values.items()}


def quantities(
    rows: Sequence[Mapping[str, Any]], published: Mapping[str, Published], last: int = LAST, loss_unit: str = "nats"
) -> list[Quantity]:
    """All quantities of a run, rule by rule in the order they were run.

    Rules that are used elsewhere, as they are, are averaged over all steps; along streams the last one counts.

    Args:
        rows: of the run.
        published: what papers say, by name of the quantity.
        last: steps that are averaged over.
        loss_unit: what outer losses are measured in.
    """
    found = []
    for rule in dict.fromkeys(row["rule"] for row in rows):
        steps = [row for row in rows if row["rule"] == rule and not row.get("final")]
        final = [row for row in rows if row["rule"] == rule and row.get("final")]
        if not steps:
            continue
        for name in dict.fromkeys([*steps[-1], *(final[-1] if final else ())]):
            if name in NOT_QUANTITIES:
                continue
            source = _source(name, steps, final, _averaged(rule, steps, last))
            per_trial = nan_mean(np.asarray([row[name] for row in source], float), axis=0)
            found.append(over_trials(f"{name}.{rule}", per_trial, _unit(name, loss_unit), published))
        if "masked" in steps[-1]:
            masked = np.asarray([row["masked"] for row in steps], float).sum(axis=0)
            found.append(over_trials(f"masked.{rule}", masked, "episodes", published))
        if "cpu_seconds" in steps[-1] and "loss" in steps[-1]:
            spent = np.mean([row["cpu_seconds"] for row in steps], keepdims=True)
            spent = spent / len(steps[-1]["loss"]) / episodes_of(steps[-1])
            found.append(over_trials(f"cpu_seconds_per_episode.{rule}", spent, "s", published))
    return found


def episodes_of(row: Mapping[str, Any]) -> int:
    """How many episodes of each trial a step was made of."""
    return int(row["episodes"][0]) if "episodes" in row else 1


def _averaged(rule: str, steps: list, last: int) -> int:
    """How many of the last rows count.

    All of what was meta-learned and is used as it is, ``<rule>.<where>``; but the last one where rows are about more
    and more parts of the same streams.
    """
    if "parts" in steps[-1]:
        return 1
    return len(steps) if "." in rule else last


def _source(name: str, steps: list, final: list, last: int) -> list:
    """The rows a quantity is averaged over: the last one if it has it, or else the last steps."""
    if final and name in final[-1]:
        return final[-1:]
    return steps[-1:] if name.startswith("theta") else steps[-last:]


def over_trials(
    name: str, per_trial: Sequence[float] | np.ndarray, unit: str, published: Mapping[str, Published] | None = None
) -> Quantity:
    """The mean over trials of something that was measured in each, with its interval.

    Args:
        name: of the quantity.
        per_trial: one number per trial.
        unit: of these.
        published: what papers say, by name of the quantity.
    """
    per_trial = np.asarray(per_trial, float)
    low, high = bootstrap_interval(per_trial)
    paper = (published or {}).get(name)
    return Quantity(
        name=name,
        mean=float(nan_mean(per_trial, axis=0)),
        ci_low=float(low),
        ci_high=float(high),
        n=int(np.isfinite(per_trial).sum()),
        unit=unit,
        published=paper.value if paper else None,
        published_source=paper.source if paper else None,
    )


def _unit(name: str, loss_unit: str) -> str:
    if name == "loss":
        return loss_unit
    return next((unit for start, unit in UNITS.items() if name.startswith(start)), "1")
