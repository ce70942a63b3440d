"""Progress of a study: a bar on a terminal, plain lines elsewhere, or nothing."""

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from metaplax.runs.recorder import Row

Advance = Callable[[Row], None]


class AbstractProgress(ABC):
    """Shows how many steps of a study are done."""

    @abstractmethod
    @contextmanager
    def track(self, steps: int, first: int) -> Iterator[Advance]:
        """Start at step ``first`` of ``steps``; yields a function to call with the row of every step."""
        yield lambda row: None


class NoProgress(AbstractProgress):
    """Shows nothing."""

    @contextmanager
    def track(self, steps: int, first: int) -> Iterator[Advance]:
        del steps, first
        yield lambda row: None


class PlainProgress(AbstractProgress):
    """Prints a line every few seconds; suits log files.

    Args:
        title: start of every line.
        seconds: least time between two lines.
        stream: where to write.
    """

    def __init__(self, title: str = "", seconds: float = 10.0, stream: IO[str] | None = None):
        self.title, self.seconds, self.stream = title, seconds, stream

    @contextmanager
    def track(self, steps: int, first: int) -> Iterator[Advance]:
        stream, last, rate = self.stream or sys.stderr, time.monotonic(), Rate(first, steps)
        if first < steps:
            print(f"{self.title}: compiling", file=stream, flush=True)

        def advance(row: Row) -> None:
            nonlocal last
            rate.count()
            if time.monotonic() - last >= self.seconds or rate.done == steps:
                last = time.monotonic()
                print(f"{self.title}: {rate.done}/{steps}  {_summary(row)}  {rate.text()}", file=stream, flush=True)

        yield advance


class RichProgress(AbstractProgress):
    """Shows a bar with rate and estimated time left; suits terminals."""

    def __init__(self, title: str = "", console: Console | None = None):
        self.title, self.console = title, console or Console(stderr=True)

    @contextmanager
    def track(self, steps: int, first: int) -> Iterator[Advance]:
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[summary]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task(self.title, total=steps, completed=first, summary="compiling", rate="")
            rate = Rate(first, steps)

            def advance(row: Row) -> None:
                rate.count()
                progress.update(bar, advance=1, summary=_summary(row), rate=rate.text())

            yield advance


class Rate:
    """Steps per second since the end of the first step, so that compilation does not count."""

    def __init__(self, first: int, steps: int):
        self.done, self._first, self._steps, self._began = first, first + 1, steps, 0.0

    def count(self) -> None:
        """Count one more step."""
        self.done += 1
        self._began = time.monotonic() if self.done == self._first else self._began

    def text(self) -> str:
        """Rate, and estimated time for the remaining steps."""
        if self.done <= self._first:
            return ""
        rate = (self.done - self._first) / max(time.monotonic() - self._began, 1e-9)
        return f"{rate:.2f} steps/s, {(self._steps - self.done) / rate:.0f} s left"


def default_progress(title: str) -> AbstractProgress:
    """A bar if standard error is a terminal, otherwise plain lines."""
    return RichProgress(title) if sys.stderr.isatty() else PlainProgress(title)


def _summary(row: Row) -> str:
    shown = [f"{name} {_mean(row[name]):.3f}" for name in ("loss", "accuracy") if name in row]
    masked = int(np.sum(row.get("masked", 0)))
    return "  ".join([*shown, *([f"{masked} of {np.size(row['masked'])} trials left out"] if masked else [])])


def _mean(values: np.ndarray) -> float:
    """Mean over the trials whose value is finite."""
    finite = values[np.isfinite(values)]
    return float(np.mean(finite)) if finite.size else float("nan")
