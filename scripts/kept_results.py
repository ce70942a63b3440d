"""The summaries of runs that are kept in ``docs/results``, and how their numbers are printed."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from metaplax.analysis import Difference, paired_difference, unpaired_difference

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
TAKEN_ONCE = ("cpu_seconds_per_episode",)
"""Quantities that are measured for all trials together, so that their number of trials says nothing."""


class SpecError(Exception):
    """A table or a claim asks for what is not kept; the message is one sentence."""


@dataclass(frozen=True)
class Kept:
    """The summary of one run.

    Attributes:
        name: of its file, without the ending.
        summary: what the file holds.
        quantities: its quantities, by name.
    """

    name: str
    summary: Mapping[str, Any]
    quantities: Mapping[str, Mapping[str, Any]]

    @property
    def configs(self) -> list[dict[str, Any]]:
        """The configuration of every run that was put together, with today's names."""
        configs = self.summary["config"]
        return [with_todays_names(one) for one in (configs if isinstance(configs, list) else [configs])]

    @property
    def commits(self) -> list[str]:
        """The commits that it was run at."""
        commits = self.summary["commit"]
        return list(dict.fromkeys(commit[:7] for commit in (commits if isinstance(commits, list) else [commits])))

    @property
    def finished(self) -> str:
        """The day it was finished."""
        return self.summary["finished"][:10]

    @property
    def hours(self) -> float:
        """How long it took."""
        seconds = self.summary["seconds"]
        return sum(seconds if isinstance(seconds, list) else [seconds]) / 3600

    @property
    def intervals(self) -> str:
        """How its intervals were computed."""
        return self.summary.get("intervals", "98 % percentile bootstrap")

    @property
    def tasks(self) -> int:
        """Number of tasks that each trial was meta-trained on."""
        config = self.configs[0]
        return config["meta_steps"] * config.get("meta_batch", 1)


def with_todays_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration in which meta-steps are no longer called episodes."""
    return {("meta_steps" if key == "episodes" else key): value for key, value in config.items()}


@cache
def kept(name: str) -> Kept:
    """A summary by name.

    Raises:
        SpecError: there is none.
    """
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        raise SpecError(f"there is no {path.relative_to(ROOT)}")
    summary = json.loads(path.read_text(encoding="utf-8"))
    return Kept(name, summary, {quantity["name"]: quantity for quantity in summary["quantities"]})


def names() -> list[str]:
    """Names of all summaries."""
    return sorted(path.stem for path in RESULTS.glob("*.json"))


def find(quantity: str, results: Iterable[Kept]) -> tuple[Kept, Mapping[str, Any]]:
    """A quantity of one of several results; ``RESULT:QUANTITY`` says of which.

    Raises:
        SpecError: none of them holds it, or several do.
    """
    result, _, name = quantity.rpartition(":")
    results = [kept(result)] if result else list(results)
    found = [(one, one.quantities[name]) for one in results if name in one.quantities]
    if len(found) != 1:
        there = ", ".join(one.name for one, _ in found) or "none"
        raise SpecError(f"{name!r} must be in one of {', '.join(one.name for one in results)}, and is in {there}")
    return found[0]


def number(value: float | None, form: str, unit: str) -> str:
    """A number as it is printed: fractions and what is given to fixed places without the zero before the point."""
    if value is None:
        return "–"
    text = f"{value:{form}}"
    if unit == "fraction" and "%" not in form:
        return re.sub(r"^(-?)0\.", r"\1.", text)
    return text


def with_interval(quantity: Mapping[str, Any], form: str = "", times: float = 1.0) -> str:
    """Mean and interval as text; a single trial has no interval."""
    unit = quantity["unit"] if times == 1.0 else ""
    form = form or (".3f" if unit == "fraction" else ".3g")
    mean, low, high = (
        number(None if quantity[end] is None else times * quantity[end], form, unit)
        for end in ("mean", "ci_low", "ci_high")
    )
    return mean if quantity["n"] < 2 or quantity["ci_low"] is None else f"{mean} [{low}, {high}]"


def difference(first: tuple[Kept, Mapping[str, Any]], second: tuple[Kept, Mapping[str, Any]]) -> Difference | None:
    """The first minus the second, from the values of their trials; ``None`` if these are not kept."""
    (one, a), (other, b) = first, second
    if "values" not in a or "values" not in b:
        return None
    pair = [[float("nan") if value is None else value for value in each["values"]] for each in (a, b)]
    shared = one.name == other.name and len(pair[0]) == len(pair[1])
    return (paired_difference if shared else unpaired_difference)(*pair)
