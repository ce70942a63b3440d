"""Recorders: where a study keeps its rows and checkpoints, in memory or in a run folder."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from metaplax._files import refuse_links
from metaplax.runs.checkpoints import CheckpointError, Checkpoints
from metaplax.runs.metrics import RECORD, Lines, covered
from metaplax.runs.run_folder import RunFolder, finite
from metaplax.runs.schema import Numbers, Search, check, damage, explaining
from metaplax.runs.thinning import next_recorded

Row = dict[str, np.ndarray]
"""The record of one meta-step: for every name, one number per trial, shape ``(trials,)``."""


class AbstractStepRecorder(ABC):
    """Takes the records and states of steps."""

    @abstractmethod
    def record(self, step: int, row: Row, seconds: float, cpu_seconds: float) -> None:
        """Take the record of a step, with its wall-clock and processor time; of very many steps, some are not kept."""

    @abstractmethod
    def is_due(self, done: int, steps: int) -> bool:
        """Whether to write a checkpoint after ``done`` of ``steps`` steps."""

    @abstractmethod
    def checkpoint(self, done: int, state: PyTree) -> None:
        """Keep the state after ``done`` steps."""


class AbstractRecorder(AbstractStepRecorder):
    """Keeps the records and checkpoints of one study."""

    @abstractmethod
    def resume(self, start: PyTree, steps: int) -> tuple[int, PyTree]:
        """Number of steps already done and the state after them; ``(0, start)`` for a fresh start.

        Args:
            start: the state before the first step.
            steps: number of steps that will be done in all.
        """

    @abstractmethod
    def also(self, values: Row) -> None:
        """Have ``finish`` keep further values."""

    @abstractmethod
    def once(self, measure: Callable[[], Row]) -> Row:
        """What ``measure`` gives, one number per trial for every name; a resumed study gets what it gave before."""

    @abstractmethod
    def finish(self, steps: int, scalars: Row) -> None:
        """Keep the meta-parameters after the last step."""

    @abstractmethod
    def attach(self, name: str, value: dict[str, Any]) -> None:
        """Keep further data under a name of their own, such as those that a figure is drawn from."""

    @abstractmethod
    def searched(self, search: Search) -> None:
        """Keep how a number of the study was chosen."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """All rows so far, in order."""

    @abstractmethod
    def recorded(self) -> list[int]:
        """The indices of the steps that they are of."""


class MemoryRecorder(AbstractRecorder):
    """Keeps rows in a list, and no checkpoints.

    Attributes:
        attached: further data that were kept, by name.
    """

    def __init__(self):
        self._rows: list[Row] = []
        self.attached: dict[str, dict[str, Any]] = {}

    def resume(self, start: PyTree, steps: int) -> tuple[int, PyTree]:
        return 0, start

    def record(self, step: int, row: Row, seconds: float, cpu_seconds: float) -> None:
        self._rows.append(row)

    def is_due(self, done: int, steps: int) -> bool:
        return False

    def checkpoint(self, done: int, state: PyTree) -> None:
        pass

    def also(self, values: Row) -> None:
        pass

    def once(self, measure: Callable[[], Row]) -> Row:
        return measure()

    def finish(self, steps: int, scalars: Row) -> None:
        pass

    def attach(self, name: str, value: dict[str, Any]) -> None:
        self.attached[name] = value

    def searched(self, search: Search) -> None:
        pass

    def rows(self) -> list[Row]:
        return self._rows

    def recorded(self) -> list[int]:
        return list(range(len(self._rows)))


class FolderRecorder(AbstractRecorder):
    """Appends rows to ``metrics.jsonl`` and writes checkpoints, for one study of an experiment.

    Args:
        folder: the run folder.
        study: name of the study; rows carry it.
        fingerprint: text that says what the checkpoints belong to, see ``Checkpoints``.
        seconds: least time between two checkpoints.

    Raises:
        RunFolderError: the folder of its checkpoints is a link.
    """

    def __init__(self, folder: RunFolder, study: str, fingerprint: str, seconds: float = 20.0):
        self.folder, self.study, self.seconds = folder, study, seconds
        place = folder.path / "checkpoints" / study
        with explaining(place, "used"):
            refuse_links(place, below=folder.path)
        self.checkpoints = Checkpoints(place, fingerprint)
        self._saved = time.monotonic()
        self._steps: int | None = None
        self._last = -1
        self._seconds, self._cpu_seconds = 0.0, 0.0
        self._also: Row = {}

    def resume(self, start: PyTree, steps: int) -> tuple[int, PyTree]:
        """As the base class says; the checkpoint is the newest one whose steps have all been recorded.

        Raises:
            CheckpointError: more steps are done than are asked for; or the checkpoints cannot be used.
            RunFolderError: the metrics are damaged, or hold fewer steps than the oldest checkpoint has done.
        """
        lines = self._lines()
        if lines and lines[-1]["step"] >= steps + bool(lines[-1].get("final")):
            done = lines[-1]["step"] + (not lines[-1].get("final"))
            raise CheckpointError(
                f"{done} steps of {self.study!r} in {self.folder.path} are done already, more than the {steps} that are"
                " asked for"
            )
        done, state = self.checkpoints.latest(start, most=covered(lines, steps))
        self.folder.drop_rows(self.study, done, steps)
        self._steps, self._last = steps, max((line["step"] for line in lines[:done] if line["step"] < done), default=-1)
        return done, state

    def record(self, step: int, row: Row, seconds: float, cpu_seconds: float) -> None:
        self._seconds, self._cpu_seconds = self._seconds + seconds, self._cpu_seconds + cpu_seconds
        width = sum(value.size for value in row.values())
        if self._steps is not None and next_recorded(step, self._steps, width) != step:
            return
        values: dict[str, Any] = {name: value.tolist() for name, value in row.items()}
        spent = {"seconds": round(self._seconds, 4), "cpu_seconds": round(self._cpu_seconds, 4)}
        stride = {"stride": step - self._last} if step > self._last + 1 else {}
        self.folder.append({"study": self.study, "step": step, **stride, **spent, **values})
        self._last, self._seconds, self._cpu_seconds = step, 0.0, 0.0

    def is_due(self, done: int, steps: int) -> bool:
        return done == steps or time.monotonic() - self._saved >= self.seconds

    def checkpoint(self, done: int, state: PyTree) -> None:
        self.folder.flush()
        self.checkpoints.save(done, jax.tree.map(np.asarray, state))
        self._saved = time.monotonic()

    def also(self, values: Row) -> None:
        self._also = values

    def once(self, measure: Callable[[], Row]) -> Row:
        """As the base class says; it is kept in a file of the run folder.

        Raises:
            RunFolderError: the file is damaged, or cannot be written.
        """
        name = f"measured/{self.study}.json"
        path = self.folder.path / name
        if not path.exists():
            self.folder.write_json(name, {key: value.tolist() for key, value in measure().items()})
        found = self.folder.read_json(name)
        with damage(path):
            check(found, dict[str, Numbers])
        return {key: np.asarray(value, float) for key, value in found.items()}

    def finish(self, steps: int, scalars: Row) -> None:
        self.folder.drop_rows(self.study, steps)
        values = {name: value.tolist() for name, value in {**scalars, **self._also}.items()}
        self.folder.append({"study": self.study, "step": steps, "final": True, **values})
        self.folder.flush()

    def attach(self, name: str, value: dict[str, Any]) -> None:
        self.folder.write_json(name, value)

    def searched(self, search: Search) -> None:
        self.attach(f"searches/{self.study}.json", dict(finite(search)))

    def rows(self) -> list[Row]:
        return [
            {name: np.asarray(value, float) for name, value in line.items() if name not in RECORD}
            for line in self._lines()
            if not line.get("final")
        ]

    def recorded(self) -> list[int]:
        return [line["step"] for line in self._lines() if not line.get("final")]

    def _lines(self) -> Lines:
        return self.folder.metrics.by_study().get(self.study, [])
