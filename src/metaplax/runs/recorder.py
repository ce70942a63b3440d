"""Recorders: where a study keeps its rows and checkpoints, in memory or in a run folder."""

import time
from abc import ABC, abstractmethod
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from metaplax.runs.checkpoints import Checkpoints
from metaplax.runs.run_folder import RunFolder

Row = dict[str, np.ndarray]
"""The record of one meta-step: for every name, one number per trial, shape ``(trials,)``."""


class AbstractRecorder(ABC):
    """Keeps the records and checkpoints of one study."""

    @abstractmethod
    def resume(self, start: PyTree) -> tuple[int, PyTree]:
        """Number of steps already done and the state after them; ``(0, start)`` for a fresh start."""

    @abstractmethod
    def record(self, step: int, row: Row, seconds: float, cpu_seconds: float) -> None:
        """Keep the record of a step, with its wall-clock and processor time."""

    @abstractmethod
    def is_due(self, done: int, steps: int) -> bool:
        """Whether to write a checkpoint after ``done`` of ``steps`` steps."""

    @abstractmethod
    def checkpoint(self, done: int, state: PyTree) -> None:
        """Keep the state after ``done`` steps."""

    @abstractmethod
    def finish(self, steps: int, scalars: Row) -> None:
        """Keep the meta-parameters after the last step."""

    @abstractmethod
    def attach(self, name: str, value: dict[str, Any]) -> None:
        """Keep further data under a name of their own, such as those that a figure is drawn from."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """All rows so far, in order."""


class MemoryRecorder(AbstractRecorder):
    """Keeps rows in a list, and no checkpoints.

    Attributes:
        attached: further data that were kept, by name.
    """

    def __init__(self):
        self._rows: list[Row] = []
        self.attached: dict[str, dict[str, Any]] = {}

    def resume(self, start: PyTree) -> tuple[int, PyTree]:
        return 0, start

    def record(self, step: int, row: Row, seconds: float, cpu_seconds: float) -> None:
        self._rows.append(row)

    def is_due(self, done: int, steps: int) -> bool:
        return False

    def checkpoint(self, done: int, state: PyTree) -> None:
        pass

    def finish(self, steps: int, scalars: Row) -> None:
        pass

    def attach(self, name: str, value: dict[str, Any]) -> None:
        self.attached[name] = value

    def rows(self) -> list[Row]:
        return self._rows


class FolderRecorder(AbstractRecorder):
    """Appends rows to ``metrics.jsonl`` and writes checkpoints, for one study of an experiment.

    Args:
        folder: the run folder.
        study: name of the study; rows carry it.
        fingerprint: text that says what the checkpoints belong to, see ``Checkpoints``.
        seconds: least time between two checkpoints.
    """

    def __init__(self, folder: RunFolder, study: str, fingerprint: str, seconds: float = 20.0):
        self.folder, self.study, self.seconds = folder, study, seconds
        self.checkpoints = Checkpoints(folder.path / "checkpoints" / study, fingerprint)
        self._last = time.monotonic()

    def resume(self, start: PyTree) -> tuple[int, PyTree]:
        done, state = self.checkpoints.latest(start)
        self.folder.drop_rows(self.study, done)
        return done, state

    def record(self, step: int, row: Row, seconds: float, cpu_seconds: float) -> None:
        values: dict[str, Any] = {name: value.tolist() for name, value in row.items()}
        spent = {"seconds": round(seconds, 4), "cpu_seconds": round(cpu_seconds, 4)}
        self.folder.append({"study": self.study, "step": step, **spent, **values})

    def is_due(self, done: int, steps: int) -> bool:
        return done == steps or time.monotonic() - self._last >= self.seconds

    def checkpoint(self, done: int, state: PyTree) -> None:
        self.folder.flush()
        self.checkpoints.save(done, jax.tree.map(np.asarray, state))
        self._last = time.monotonic()

    def finish(self, steps: int, scalars: Row) -> None:
        self.folder.drop_rows(self.study, steps)
        values = {name: value.tolist() for name, value in scalars.items()}
        self.folder.append({"study": self.study, "step": steps, "final": True, **values})
        self.folder.flush()

    def attach(self, name: str, value: dict[str, Any]) -> None:
        self.folder.write_json(name, value)

    def rows(self) -> list[Row]:
        skipped = {"study", "step", "seconds", "cpu_seconds"}
        return [
            {name: np.asarray(value, float) for name, value in row.items() if name not in skipped}
            for row in self.folder.rows()
            if row["study"] == self.study and not row.get("final")
        ]
