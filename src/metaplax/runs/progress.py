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
        stream = self.stream or sys.stderr
        done, last = first, time.monotonic()
        rate = Rate()
        if first < steps:
            print(f"{self.title}: compiling", file=stream, flush=True)

        def advance(row: Row) -> None:
            nonlocal done, last
            done += 1
            rate.count()
            now = time.monotonic()
            if now - last >= self.seconds or done == steps:
                last = now
                print(
                    f"{self.title}: {done}/{steps}  {_summary(row)}  {rate.text(steps - done)}", file=stream, flush=True
                )

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
            done, rate = first, Rate()

            def advance(row: Row) -> None:
                nonlocal done
                done += 1
                rate.count()
                progress.update(bar, advance=1, summary=_summary(row), rate=rate.text(steps - done))

            yield advance


class Rate:
    """Steps per second since the end of the first step, so that compilation does not count."""

    def __init__(self):
        self._steps, self._began = -1, 0.0

    def count(self) -> None:
        """Count one more step."""
        self._steps += 1
        if self._steps == 0:
            self._began = time.monotonic()

    def text(self, left: int) -> str:
        """Rate, and estimated time for the remaining steps."""
        if self._steps < 1:
            return ""
        rate = self._steps / max(time.monotonic() - self._began, 1e-9)
        return f"{rate:.2f} steps/s, {left / rate:.0f} s left"


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
