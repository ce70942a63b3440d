"""Reads run folders into a form that can be drawn, printed or compared."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from metaplax.analysis import Published, by_study, per_trial, quantities, spent_until
from metaplax.plasticity import PrintedTerm, as_text
from metaplax.runs import ReportOptions, RunFolder, StudyDescription, as_kind
from metaplax.runs.metrics import RECORD
from metaplax.runs.old_names import translate_example_task
from metaplax.runs.schema import Result, check, check_example_task, damage

NOT_SERIES = {*RECORD, "meta_batch"}


@dataclass(frozen=True)
class Recorded:
    """One run, finished or not.

    Attributes:
        path: the run folder.
        config: ``config.json``, with today's names.
        env: ``env.json``.
        result: ``result.json``; empty while the run is not finished.
        quantities: for each name, mean, interval, unit and what was published.
        series: for each study and name, an array of shape ``(steps, trials)``; NaN where the value was not finite.
        taken: for each study, the number of steps up to each one that was recorded, shape ``(steps,)``.
        spent: for each study, processor seconds of all trials up to each step, shape ``(steps,)``; empty if unknown.
        example_tasks: for each study that has one, one task before and after adaptation.
        per_trial: for each quantity that was computed from the series, one number per trial, shape ``(trials,)``.
        names: names of the run folders whose trials were pooled; empty for a single one.
    """

    path: Path
    config: dict[str, Any]
    env: dict[str, Any]
    result: dict[str, Any]
    quantities: dict[str, dict[str, Any]]
    series: dict[str, dict[str, np.ndarray]]
    taken: dict[str, np.ndarray] = field(default_factory=dict)
    spent: dict[str, np.ndarray] = field(default_factory=dict)
    example_tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    per_trial: dict[str, np.ndarray] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the run folder, or the names of those that were pooled."""
        return " + ".join(self.names) or self.path.name

    @property
    def trials(self) -> int:
        """Number of trials."""
        arrays = (values for series in self.series.values() for values in series.values())
        return max((size for values in arrays for size in values.shape[1:2]), default=0)

    @property
    def averaged(self) -> str:
        """Over which steps of a trial the headline is averaged, in words."""
        steps = max((len(values) for series in self.series.values() for values in series.values()), default=0)
        last, unit = self.options.averaged, f"{self.options.axis}s" if self.options.stride == 1 else "scores"
        return f"the last {last} {unit}" if steps > last else f"all {steps} {unit}, the first ones included"

    @property
    def title(self) -> str:
        """The title of the experiment, or its name."""
        return self.config["title"] or self.config["experiment"]

    @cached_property
    def options(self) -> ReportOptions:
        """How reports show the studies."""
        return as_kind(self.config["report"], ReportOptions)

    @cached_property
    def studies(self) -> dict[str, StudyDescription]:
        """What every study measures, by name."""
        return {name: as_kind(entry, StudyDescription) for name, entry in self.config["studies"].items()}

    @property
    def headline(self) -> list[str]:
        """The quantities that tables show: those of the options that some main study has measured."""
        return [
            name for name in self.options.headline if any(f"{name}.{study}" in self.quantities for study in self.labels)
        ]

    @property
    def findings(self) -> list[str]:
        """Conclusions from the quantities, in sentences."""
        return self.result.get("findings", [])

    @property
    def labels(self) -> dict[str, str]:
        """The label of every main study that was run: one per arm, without those in further conditions."""
        return {
            name: self.studies[name].label
            for name in self.series
            if name in self.studies and not self.studies[name].condition
        }

    def by_group(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Names of studies by the label of their group, such as the condition in which arms are measured."""
        found: dict[str, list[str]] = {}
        for name in names:
            if name in self.studies:
                found.setdefault(self.studies[name].group, []).append(name)
        return found

    def measured(self, what: str) -> list[str]:
        """Names of the studies in further conditions that measured a quantity, such as ``accuracy``."""
        there = {name for name, quantity in self.quantities.items() if quantity["mean"] is not None}
        return [name for name, study in self.studies.items() if study.condition and f"{what}.{name}" in there]

    def found(self, what: str, names: Iterable[str]) -> list[dict[str, Any]]:
        """A quantity, such as ``accuracy``, of several studies."""
        return [self.quantities[f"{what}.{name}"] for name in names]

    def main_tasks(self) -> dict[str, dict[str, Any]]:
        """Example tasks of main studies, by name."""
        return {name: self.example_tasks[name] for name in self.labels if name in self.example_tasks}

    def terms(self, study: str) -> list[PrintedTerm]:
        """The terms of the rule of a study."""
        return [as_kind(term, PrintedTerm) for term in self.config["studies"][study]["terms"]]

    def coefficients(self, study: str) -> list[float] | None:
        """Means over trials of the learned coefficients, if there is one per term."""
        names = [f"theta{term.name}.{study}" for term in self.terms(study)]
        if not names or any(name not in self.quantities for name in names):
            return None
        return [self.quantities[name]["mean"] for name in names]

    def equation(self, study: str) -> str:
        """The learned rule as plain text."""
        return f"{self.labels[study]}: {as_text(self.terms(study), self.coefficients(study))}"

    def equations(self) -> list[str]:
        """The learned rules as plain text."""
        return [self.equation(study) for study in self.labels if self.terms(study)]


def read(path: Path | str) -> Recorded:
    """Read a run folder, also one of an earlier version.

    Raises:
        RunFolderError: it is not a run folder, or damaged.
    """
    folder = RunFolder.open(path)
    config = folder.config()
    rows = folder.rows(known=config["studies"])
    env = {name: value for name, value in folder.env().items() if name != "asked"}
    result = folder.read_json("result.json") if (folder.path / "result.json").exists() else {}
    with damage(folder.path / "result.json"):
        check(result, Result)
    recorded = Recorded(folder.path, config, env, result, {}, {})
    for study, of_study in by_study(rows).items():
        steps = [row for row in of_study if not row.get("final")]
        if steps:
            recorded.taken[study] = np.asarray([row["step"] + 1 for row in steps])
            if all("cpu_seconds" in row for row in steps):
                recorded.spent[study] = spent_until(of_study)
            names = [name for name in steps[0] if name not in NOT_SERIES]
            recorded.series[study] = {name: np.asarray([row[name] for row in steps], float) for name in names}
    recorded.per_trial.update(per_trial(rows, recorded.studies, recorded.options))
    published = {name: as_kind(value, Published) for name, value in config["published"].items()}
    found = [quantity.as_json() for quantity in quantities(rows, recorded.studies, recorded.options, published)]
    recorded.quantities.update({quantity["name"]: quantity for quantity in (*result.get("quantities", ()), *found)})
    for study, parent in itertools.product(config["studies"], ("portraits", "example_tasks")):
        if (folder.path / parent / f"{study}.json").exists():
            recorded.example_tasks[study] = _example_task(folder, f"{parent}/{study}.json")
    return recorded


def _example_task(folder: RunFolder, name: str) -> dict[str, Any]:
    example = translate_example_task(folder.read_json(name))
    with damage(folder.path / name):
        check_example_task(example)
    return example
