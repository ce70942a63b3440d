"""Printing that never fails a finished command: any encoding, any width, and readers that stop reading."""

import json
import os
import sys
from collections.abc import Callable
from typing import Annotated, TypeVar

import rich.console
import tyro
from rich.measure import Measurement, measure_renderables
from rich.table import Table

UNLIMITED = 10_000
Json = Annotated[bool, tyro.conf.arg(help="print JSON for a program to read")]
T = TypeVar("T")


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
    """Send what cannot be written nowhere, so that Python does not complain when it exits."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


def to_json(value: object) -> str:
    """JSON for a program to read, in ASCII, since the encoding of the output is not known."""
    return json.dumps(value, indent=1, allow_nan=False)


def answer(value: T, table: Callable[[T], Table], *, as_json: bool) -> None:
    """Print a value, for a program to read or as a table."""
    print(to_json(value)) if as_json else show(table(value))


def show(table: Table) -> None:
    """Print a table whose lines break between words only, since names and numbers must not be cut.

    Columns share the width of the terminal. Where it is too narrow for the longest words, the table is wider than it.
    """
    console = Console()
    unlimited = console.options.update(width=UNLIMITED)
    sizes = [measure_renderables(console, unlimited, [column.header, *column.cells]) for column in table.columns]
    least, most = sum(size.minimum for size in sizes), sum(size.maximum for size in sizes)
    frame = Measurement.get(console, unlimited, table).minimum - least
    share = min(max((console.width - frame - least) / max(most - least, 1), 0.0), 1.0)
    for column, size in zip(table.columns, sizes, strict=True):
        column.width = size.minimum + int((size.maximum - size.minimum) * share)
    width = frame + sum(column.width or 0 for column in table.columns)
    Console(width=max(console.width, width)).print(table)
