"""Progress of long work: a bar on a terminal, plain lines elsewhere, or nothing."""

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from metaplax.training.journal import Row

Advance = Callable[[Row], None]


class AbstractProgress(ABC):
    """Shows how far meta-training is."""

    @abstractmethod
    @contextmanager
    def track(self, steps: int, first: int) -> Iterator[Advance]:
        """Start at step ``first`` of ``steps``; the function given is called with the row of each step."""
        yield lambda row: None


class NoProgress(AbstractProgress):
    """Shows nothing."""

    @contextmanager
    def track(self, steps: int, first: int) -> Iterator[Advance]:
        del steps, first
        yield lambda row: None


class PlainProgress(AbstractProgress):
    """One line every so many seconds: for logs.

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
        done, began, last = first, time.monotonic(), time.monotonic()
        print(f"{self.title}: compiling", file=stream, flush=True)

        def advance(row: Row) -> None:
            nonlocal done, last
            done += 1
            now = time.monotonic()
            if now - last >= self.seconds or done == steps:
                last = now
                rate = (done - first) / max(now - began, 1e-9)
                left = (steps - done) / rate
                text = f"{self.title}: {done}/{steps}  {_summary(row)}  {rate:.2f} steps/s  {left:.0f} s left"
                print(text, file=stream, flush=True)

        yield advance


class RichProgress(AbstractProgress):
    """A bar with rate and estimated time left: for terminals."""

    def __init__(self, title: str = "", console: Console | None = None):
        self.title, self.console = title, console or Console(stderr=True)

    @contextmanager
    def track(self, steps: int, first: int) -> Iterator[Advance]:
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[summary]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task(self.title, total=steps, completed=first, summary="compiling", rate="")
            began, done = time.monotonic(), first

            def advance(row: Row) -> None:
                nonlocal done
                done += 1
                rate = (done - first) / max(time.monotonic() - began, 1e-9)
                progress.update(bar, advance=1, summary=_summary(row), rate=f"{rate:.1f} steps/s")

            yield advance


def default_progress(title: str) -> AbstractProgress:
    """A bar if standard error is a terminal, else plain lines."""
    return RichProgress(title) if sys.stderr.isatty() else PlainProgress(title)


def _summary(row: Row) -> str:
    shown = [f"{name} {np.mean(row[name]):.3f}" for name in ("loss", "accuracy") if name in row]
    masked = int(np.sum(row.get("masked", 0)))
    return "  ".join(shown) + (f"  ({masked} not finite)" if masked else "")
