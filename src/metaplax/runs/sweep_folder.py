"""The sweep folder: ``sweep.json`` with the plan, one run folder for every run of it, and what is known of these.

``states/`` holds a file for every run that has been begun, ``log.txt`` what workers have said, ``sweep.csv`` and
``report.html`` what was found.
"""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from metaplax.runs.run_folder import RunFolder, fresh_name
from metaplax.runs.schema import Chosen, RunFolderError, RunState, SweepPlan, check, damage, explaining

PLAN = "sweep.json"
SILENT = 120.0
"""Seconds after which a run of which nothing has been heard is no longer taken to be running."""
UNKNOWN = RunState(state="waiting", part=0.0, study="", error="", seconds=0.0, host="")
VERSION = "version"


class SweepFolder:
    """A sweep folder on disk."""

    def __init__(self, path: Path | str, plan: SweepPlan):
        self.path, self.plan = Path(path), plan

    @staticmethod
    def is_at(path: Path | str) -> bool:
        """Whether a path is that of a sweep folder."""
        return (Path(path) / PLAN).is_file()

    @staticmethod
    def begin(path: Path | str | None, plan: SweepPlan) -> "SweepFolder":
        """The folder with this plan, made if it is not there; by default a new one in ``runs``.

        Raises:
            RunFolderError: the folder cannot be written, or holds another sweep or other files.
        """
        place = Path(path or Path("runs") / fresh_name(f"{plan['experiment']}-sweep"))
        if SweepFolder.is_at(place):
            found = SweepFolder.open(place)
            was, now = (json.loads(json.dumps(one)) for one in (found.plan, plan))
            other = next((name for name in now if was.get(name) != now[name] and name != VERSION), None)
            if other:
                raise RunFolderError(f"{place} holds another sweep, whose {other} are not these: name another folder")
            return found
        with explaining(place):
            place.mkdir(parents=True, exist_ok=True)
            if any(place.iterdir()):
                raise RunFolderError(f"{place} holds other files and is no sweep folder: name another one")
        RunFolder(place).write_json(PLAN, dict(plan))
        return SweepFolder(place, plan)

    @staticmethod
    def open(path: Path | str) -> "SweepFolder":
        """An existing sweep folder.

        Raises:
            RunFolderError: the path is not that of a sweep folder, or its plan is damaged.
        """
        if not SweepFolder.is_at(path):
            raise RunFolderError(f"{path} is not a sweep folder: it holds no {PLAN}")
        plan: Any = RunFolder(path).read_json(PLAN)
        with damage(Path(path) / PLAN):
            check(plan, SweepPlan)
        return SweepFolder(path, plan)

    def runs(self) -> dict[str, dict[str, Any]]:
        """The setting and seed of every run by its name; of a search, those of the settings that were chosen so far."""
        if self.plan["search"] is None:
            return {name: dict(task) for name, task in self.plan["tasks"].items()}
        found: dict[str, dict[str, Any]] = {}
        for path in sorted(self.path.glob("chosen/*.json")):
            found |= self.chosen(f"chosen/{path.name}")["runs"]
        return found

    def chosen(self, file: str) -> dict[str, Any]:
        """A setting that a search has chosen, from its file.

        Raises:
            RunFolderError: it is missing or damaged.
        """
        value = RunFolder(self.path).read_json(file)
        with damage(self.path / file):
            check(value, Chosen)
        return value

    @property
    def total(self) -> int:
        """Number of runs, of a search with those whose setting is not chosen yet."""
        search = self.plan["search"]
        return len(self.plan["tasks"]) if search is None else search["settings"] * len(self.plan["seeds"])

    def is_finished(self, name: str) -> bool:
        """Whether a run has its result and its report."""
        return all((self.path / name / file).is_file() for file in ("result.json", "report.html"))

    def tell(self, name: str, state: RunState) -> None:
        """Keep what is known of a run."""
        RunFolder(self.path).write_json(f"states/{name}.json", dict(state))

    def state(self, name: str) -> RunState:
        """What is known of a run; one that was running and has not been heard of is taken to have stopped."""
        if self.is_finished(name):
            with suppress(RunFolderError):
                return {**self._told(name), "state": "finished", "part": 1.0, "error": ""}
            return {**UNKNOWN, "state": "finished", "part": 1.0}
        if not (path := self.path / "states" / f"{name}.json").is_file():
            return UNKNOWN
        told = self._told(name)
        # Where a file has been removed after all, the run is as good as waiting.
        with suppress(OSError):
            if told["state"] == "running" and time.time() - path.stat().st_mtime > SILENT:
                return {**told, "state": "stopped", "error": "nothing has been heard of it"}
        return {**told, "state": "stopped"} if told["state"] == "finished" else told

    def states(self) -> dict[str, dict[str, Any]]:
        """What is known of every run, with its setting and seed."""
        return {name: {**run, **self.state(name)} for name, run in self.runs().items()}

    def _told(self, name: str) -> RunState:
        told: Any = RunFolder(self.path).read_json(f"states/{name}.json")
        with damage(self.path / "states" / f"{name}.json"):
            check(told, RunState)
        return told


def setting_text(setting: Mapping[str, Any]) -> str:
    """A setting as it is printed: ``l1 = 0.1, sizes = 784 24 47``."""
    return ", ".join(f"{name} = {value_text(value)}" for name, value in setting.items())


def value_text(value: Any) -> str:
    """A value of a field as it is typed on the command line."""
    return " ".join(map(value_text, value)) if isinstance(value, (list, tuple)) else str(value)
