"""Stopping on request: SIGTERM and Ctrl-C end a run after the current step, with a checkpoint."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupted(Exception):
    """A run was asked to stop, and has stopped after writing a checkpoint.

    Attributes:
        reason: name of the signal.
        step: number of meta-steps done.
    """

    def __init__(self, reason: str, step: int):
        super().__init__(f"stopped by {reason} after meta-step {step}; everything up to there is saved")
        self.reason = reason
        self.step = step


class Interruption:
    """Whether the run was asked to stop: ``requested`` is the name of the signal, or empty."""

    requested: str = ""

    @contextmanager
    def listening(self) -> Iterator["Interruption"]:
        """Turn SIGTERM and SIGINT into requests to stop after the current step; a second signal stops at once."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: object) -> None:
        del frame
        if self.requested:
            raise KeyboardInterrupt
        self.requested = signal.Signals(number).name
        os.write(2, b"stopping after the current step; once more to stop at once\n")
