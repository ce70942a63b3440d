"""What a sweep has found: every setting with the trials of all its seeds, and paired differences between settings."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from metaplax.analysis import Difference, paired_difference
from metaplax.reports.comparison import score
from metaplax.reports.pooling import pooled
from metaplax.reports.recorded import Recorded, read
from metaplax.runs import RunFolder
from metaplax.runs.schema import SweepPlan
from metaplax.runs.sweep_folder import SweepFolder, setting_text, value_text

ON_TEST = (
    "no best setting is named: all quantities of this experiment are measured on the data that it reports, and a choice"
    " by these would look better than it is"
)
ON_SCORED = (
    "this is a search on {goal}, which is not measured on validation data but is what is reported: the best value that"
    " it finds looks better than it is, so score that setting again with other seeds"
)
COLUMNS = ("quantity", "mean", "ci_low", "ci_high", "n", "unit")


@dataclass(frozen=True)
class Setting:
    """One setting of a sweep.

    Attributes:
        values: its values of the fields that differ.
        runs: its finished runs by seed.
        names: names of all its run folders by seed, finished or not.
    """

    values: Mapping[str, Any]
    runs: Mapping[int, Recorded]
    names: Mapping[int, str]

    @property
    def label(self) -> str:
        """The setting as text."""
        return setting_text(self.values) or "as configured"

    @cached_property
    def pooled(self) -> Recorded | None:
        """The trials of all seeds together; ``None`` if no run is finished."""
        found = pooled([self.runs[seed] for seed in sorted(self.runs)])
        return found[0] if found else None

    def trials(self, quantity: str, seeds: list[int]) -> np.ndarray:
        """A quantity of every trial of some seeds, in their order."""
        return np.concatenate([self.runs[seed].per_trial[quantity] for seed in seeds])


@dataclass(frozen=True)
class Swept:
    """A sweep folder that was read.

    Attributes:
        folder: the folder.
        settings: in the order of the plan.
    """

    folder: SweepFolder
    settings: list[Setting]

    @cached_property
    def any(self) -> Recorded | None:
        """Some finished run, which says what all of them measure."""
        return next((run for setting in self.settings for run in setting.runs.values()), None)

    @property
    def fields(self) -> list[str]:
        """The fields in which settings differ."""
        return [*self.folder.plan["fields"]]

    @property
    def what(self) -> str:
        """The quantity by which settings are compared: one on validation data, if there is one."""
        known, search = self.folder.plan["validation"], self.folder.plan["search"]
        if search:
            return search["goal"].partition(".")[0]
        return known[0] if known else (self.any.headline or ["loss"])[0] if self.any else "loss"

    def best(self, study: str) -> Setting | None:
        """The best setting for a study, on validation data or as a search was asked for; ``None`` otherwise."""
        known = [one for one in self.settings if self.mean(one, study) is not None]
        larger = self._larger_is_better(study)
        if larger is None or not known:
            return None
        return (max if larger else min)(known, key=lambda one: self.mean(one, study) or 0.0)

    def _larger_is_better(self, study: str) -> bool | None:
        """Whether larger values make a setting better; ``None`` if none may be chosen."""
        search = self.folder.plan["search"]
        if search:
            return search["maximise"] if search["goal"] == f"{self.what}.{study}" else None
        better = score(self.any, self.what) if self.any and self.folder.plan["validation"] else None
        return better and better[1]

    def mean(self, setting: Setting, study: str) -> float | None:
        """The mean of the quantity that is compared."""
        found = setting.pooled and setting.pooled.quantities.get(f"{self.what}.{study}")
        return found["mean"] if found else None

    def rows(self, study: str) -> list[dict[str, Any]]:
        """For every setting its quantity of a study, and its difference to the reference, over the seeds of both.

        The reference is the best setting, or the first one if none is named.
        """
        name, reference = f"{self.what}.{study}", self.best(study) or self.settings[0]
        rows = []
        for setting in self.settings:
            found = setting.pooled and setting.pooled.quantities.get(name)
            seeds = sorted(setting.runs.keys() & reference.runs.keys())
            difference = None
            if setting is not reference and seeds and found:
                difference = self._difference(setting, reference, name, seeds)
            row = {"setting": dict(setting.values), "label": setting.label, "names": dict(setting.names)}
            row |= {"is_reference": setting is reference, "quantity": found, "difference": difference}
            rows.append({**row, "finished": sorted(setting.runs)})
        return rows

    def _difference(self, setting: Setting, reference: Setting, name: str, seeds: list[int]) -> Difference | None:
        if any(name not in one.runs[seed].per_trial for one in (setting, reference) for seed in seeds):
            return None
        its, of_reference = (one.trials(name, seeds) for one in (setting, reference))
        return paired_difference(its, of_reference) if its.shape == of_reference.shape else None

    def verdicts(self) -> list[str]:
        """The best setting of every study with what it is worth, or why none is named; without full stops."""
        if self.any is None:
            return ["no run is finished"]
        if not self.folder.plan["validation"] and not self.folder.plan["search"]:
            return [ON_TEST]
        doubt = doubt_about(self.folder.plan)
        found, where = [doubt] if doubt else [], "" if doubt else " on validation data"
        for study, label in self.any.labels.items():
            best = self.best(study)
            if best is not None and best.pooled is not None:
                value = best.pooled.quantities[f"{self.what}.{study}"]
                found.append(f"best for {label} by {self.what}{where}: {best.label} ({value['mean']:.4g})")
        return found

    def as_json(self) -> dict[str, Any]:
        """The rows of all studies and the verdicts, for a program to read."""
        studies = {}
        for study in self.any.labels if self.any else ():
            rows = self.rows(study)
            studies[study] = [row | {"difference": row["difference"] and row["difference"].as_json()} for row in rows]
        return {"quantity": self.what, "studies": studies, "verdicts": self.verdicts()}

    def csv(self) -> str:
        """One line for every run and quantity: the run, its fields and seed, and the quantity with its interval."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["run", *self.fields, "seed", *COLUMNS])
        for setting in self.settings:
            values = [value_text(value) for value in setting.values.values()]
            for seed, run in setting.runs.items():
                for quantity in run.quantities.values():
                    cells = ("" if quantity[column] is None else quantity[column] for column in COLUMNS[1:])
                    writer.writerow([setting.names[seed], *values, seed, quantity["name"], *cells])
        return text.getvalue()


def doubt_about(plan: SweepPlan) -> str:
    """Why what a search finds is to be scored again, in a sentence without a full stop; empty if it need not be."""
    search = plan["search"]
    if search is None:
        return ""
    quantity, _, study = search["goal"].partition(".")
    return "" if quantity in plan["validation"] and "." not in study else ON_SCORED.format(goal=search["goal"])


def read_sweep(path: Path | str) -> Swept:
    """Read a sweep folder and its finished runs.

    Raises:
        RunFolderError: it is not a sweep folder, or damaged.
    """
    folder = SweepFolder.open(path)
    found: dict[str, Setting] = {}
    for name, run in folder.runs().items():
        setting = found.setdefault(setting_text(run["setting"]), Setting(run["setting"], {}, {}))
        names, runs = dict(setting.names), dict(setting.runs)
        names[run["seed"]] = name
        if (folder.path / name / "result.json").is_file():
            runs[run["seed"]] = read(RunFolder(folder.path / name).path)
        found[setting_text(run["setting"])] = Setting(run["setting"], runs, names)
    return Swept(folder, [*found.values()])
