"""Shows how far the runs of a sweep are: a live table on a terminal, plain lines elsewhere; without JAX."""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

MOST_ROWS = 30
"""Runs that the live table has room for."""
SHOWN = ("running", "failed", "stopped")
OVER = ("finished", "failed", "stopped")

States = dict[str, dict[str, Any]]


class Watch:
    """Keeps the states of all runs, and shows them on standard error from ``with`` on.

    Args:
        states: what is known of every run by its name.
        total: number of runs, if not all have a name yet.
    """

    def __init__(self, states: Mapping[str, Mapping[str, Any]], total: int = 0):
        self.states: States = {name: dict(state) for name, state in states.items()}
        self._total = total
        self._began, self._before = time.monotonic(), self._done()
        console = Console(stderr=True)
        self._live = Live(self._table(), console=console, refresh_per_second=2) if console.is_terminal else None

    def __enter__(self) -> "Watch":
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.__exit__(kind, error, trace)

    def see(self, name: str, state: Mapping[str, Any]) -> None:
        """Take what is known of a run now."""
        before = self.states.get(name, {}).get("state")
        self.states[name] = {**self.states.get(name, {}), **state}
        if self._live:
            self._live.update(self._table())
        elif state["state"] != before and state["state"] in OVER:
            why = f" ({state['error']})" if state["error"] else ""
            print(f"{name}: {state['state']}{why}; {self.summary()}", file=sys.stderr, flush=True)

    def failed(self) -> dict[str, str]:
        """Why runs have failed, by name."""
        return {name: state["error"] for name, state in self.states.items() if state["state"] == "failed"}

    def unfinished(self) -> int:
        """Number of runs without a result."""
        return self.total - sum(state["state"] == "finished" for state in self.states.values())

    def told(self) -> dict[str, Any]:
        """All of this for a program."""
        about = {"states": self.states, "summary": self.summary(), "failed": self.failed()}
        return {**about, "unfinished": self.unfinished()}

    @property
    def total(self) -> int:
        """Number of runs."""
        return max(self._total, len(self.states))

    def summary(self) -> str:
        """``3 of 8 runs are finished, 1 failed, about 40 s left``"""
        count = Counter(state["state"] for state in self.states.values())
        parts = [f"{count['finished']} of {self.total} runs are finished"]
        parts += [f"{count[state]} {state}" for state in SHOWN if count[state]]
        done, now = time.monotonic() - self._began, self._done()
        left = self.total - now - sum(1 - state["part"] for state in self.states.values() if state["state"] == "failed")
        if now > self._before and left > 0 and count["running"]:
            parts.append(f"about {duration(done * left / (now - self._before))} left")
        return ", ".join(parts)

    def _done(self) -> float:
        return float(sum(state["part"] for state in self.states.values()))

    def _table(self) -> Table:
        table = Table("run", "state", "done", "study", title=Text(self.summary()))
        shown = [(name, state) for name, state in self.states.items() if state["state"] in SHOWN][:MOST_ROWS]
        for name, state in shown:
            cells = (name, state["state"], f"{state['part']:.0%}", state["error"] or state["study"])
            table.add_row(*map(Text, cells))
        return table


def duration(seconds: float) -> str:
    """A duration in a unit of a fitting size."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
