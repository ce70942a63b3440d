"""Signals that ask to stop, turned into a request; without JAX, so that what only waits for others can use it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

STOPPING = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")
"""Signals that ask to stop, where the operating system has them: batch systems announce the end of a job by SIGUSR1."""


class Interruption:
    """Whether the run was asked to stop: ``requested`` is the name of the signal, or empty."""

    requested: str = ""

    @contextmanager
    def listening(self) -> Iterator["Interruption"]:
        """Turn signals into requests to stop after the current step; a second signal stops at once.

        Those that were to be ignored, as SIGHUP after ``nohup``, still are.
        """
        known = [signal.Signals[name] for name in STOPPING if name in signal.Signals.__members__]
        heard = [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._on_signal) for number in heard}
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
        # After SIGHUP the terminal may be gone.
        with suppress(OSError):
            os.write(2, b"stopping after the current step; once more to stop at once\n")
