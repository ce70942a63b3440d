"""Printing that never fails a finished command: any encoding, any width, and readers that stop reading."""

import os
import sys

import rich.console
from rich.measure import Measurement
from rich.table import Table

UNLIMITED = 10_000


class Console(rich.console.Console):
    """A console that leaves it to the command line to handle a reader that has stopped reading."""

    def on_broken_pipe(self) -> None:
        """Raise the error again, where rich would end the program."""
        raise


def replace_unprintable() -> None:
    """Have characters that the encoding of the output does not know replaced by question marks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]


def discard_output() -> None:
    """Send what is still to be written nowhere, so that Python does not complain when it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())


def show(table: Table) -> None:
    """Print a table whose lines break between words only, since names and numbers must not be cut.

    Columns share the width of the terminal. Where it is too narrow for the longest words, the table is wider than it.
    """
    console = Console()
    unlimited = console.options.update(width=UNLIMITED)
    sizes = [
        [Measurement.get(console, unlimited, cell) for cell in (column.header, *column.cells)]
        for column in table.columns
    ]
    least = [max(size.minimum for size in column) for column in sizes]
    most = [max(size.maximum for size in column) for column in sizes]
    frame = Measurement.get(console, unlimited, table).minimum - sum(least)
    share = (console.width - frame - sum(least)) / max(sum(most) - sum(least), 1)
    for column, low, high in zip(table.columns, least, most, strict=True):
        column.width = low + int((high - low) * min(max(share, 0.0), 1.0))
    width = frame + sum(column.width or 0 for column in table.columns)
    Console(width=max(console.width, width)).print(table)
