"""Progress of a study: a bar on a terminal, a line in a notebook, plain lines elsewhere, or nothing."""

import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import IO, Any, cast

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TimeElapsedColumn

from metaplax.runs.recorder import Row

Advance = Callable[[Row], None]


class AbstractProgress(ABC):
    """Shows how many steps of a study are done."""

    @abstractmethod
    def track(self, steps: int, first: int) -> AbstractContextManager[Advance]:
        """Start at step ``first`` of ``steps``; yields a function to call with the row of every step."""


class _Lenient:
    """Standard error, for what may be lost: a terminal or reader that has gone does not stop a run."""

    def write(self, text: str) -> int:
        with suppress(OSError, AttributeError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, AttributeError):
            sys.stderr.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


_LENIENT = cast(IO[str], _Lenient())


class NoProgress(AbstractProgress):
    """Shows nothing."""

    def track(self, steps: int, first: int) -> AbstractContextManager[Advance]:
        del steps, first
        return nullcontext(lambda row: None)


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
        stream, last = self.stream or _LENIENT, time.monotonic()
        counter = Progress(disable=True, speed_estimate_period=math.inf)
        counter.add_task(self.title, total=steps, completed=first)
        (task,) = counter.tasks
        if first < steps:
            print(f"{self.title}: compiling", file=stream, flush=True)

        def advance(row: Row) -> None:
            nonlocal last
            counter.advance(task.id)
            if time.monotonic() - last >= self.seconds or task.finished:
                last = time.monotonic()
                done = f"{self.title}: {task.completed}/{steps}"
                print(done, _summary(row), _rate(task), sep="  ", file=stream, flush=True)

        yield advance


class RichProgress(AbstractProgress):
    """Shows a bar with rate and estimated time left; suits terminals."""

    def __init__(self, title: str = "", console: Console | None = None):
        self.title, self.console = title, console or Console(file=_LENIENT)

    @contextmanager
    def track(self, steps: int, first: int) -> Iterator[Advance]:
        title, rate, summary = "[bold]{task.description}", "{task.fields[rate]}", "{task.fields[summary]}"
        columns = (title, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), rate, summary)
        with Progress(*columns, console=self.console, speed_estimate_period=math.inf) as progress:
            bar = progress.add_task(self.title, total=steps, completed=first, summary="compiling", rate="")

            def advance(row: Row) -> None:
                progress.advance(bar)
                progress.update(bar, summary=_summary(row), rate=_rate(progress.tasks[0]))

            yield advance


class NotebookProgress(AbstractProgress):
    """Shows one line in the output of a notebook's cell, with a bar until all steps are done.

    Args:
        title: start of the line.
        seconds: least time between two changes of it.
    """

    WIDTH = 24

    def __init__(self, title: str = "", seconds: float = 0.2):
        self.title, self.seconds = title, seconds

    @contextmanager
    def track(self, steps: int, first: int) -> Iterator[Advance]:
        from IPython.display import Pretty, display  # there, since this is a notebook

        counter = Progress(disable=True, speed_estimate_period=math.inf)
        counter.add_task(self.title, total=steps, completed=first)
        (task,) = counter.tasks
        began = last = time.monotonic()
        shown: Any = display(Pretty(f"{self.title}: compiling"), display_id=True)

        def advance(row: Row) -> None:
            nonlocal last
            counter.advance(task.id)
            now, done = time.monotonic(), int(task.completed)
            if now - last >= self.seconds or task.finished:
                last, full = now, self.WIDTH * done // steps
                bar = "" if task.finished else f"{'█' * full}{'░' * (self.WIDTH - full)}  "
                rate = f"{now - began:.1f} s" if task.finished else _rate(task)
                shown.update(Pretty(f"{self.title}: {bar}{done}/{steps}  {_summary(row)}  {rate}"))

        yield advance


def is_notebook() -> bool:
    """Whether this is the kernel of a notebook, which shows what is displayed in the output of a cell."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def default_progress(title: str) -> AbstractProgress:
    """A line in a notebook, a bar if standard error is a terminal, otherwise plain lines."""
    if is_notebook():
        return NotebookProgress(title)
    return RichProgress(title) if sys.stderr is not None and sys.stderr.isatty() else PlainProgress(title)


def _rate(task: Task) -> str:
    """Steps per second since the end of the first, so that compilation does not count, and the time that is left."""
    return "" if task.speed is None else f"{task.speed:.2f} steps/s, {task.time_remaining or 0:.0f} s left"


def _summary(row: Row) -> str:
    shown = [f"{name} {_mean(row[name]):.3f}" for name in ("loss", "accuracy") if name in row]
    masked = int(np.sum(row.get("masked", 0)))
    return "  ".join([*shown, *([f"{masked} episodes left out"] if masked else [])])


def _mean(values: np.ndarray) -> float:
    """Mean over the trials whose value is finite."""
    finite = values[np.isfinite(values)]
    return float(np.mean(finite)) if finite.size else float("nan")
