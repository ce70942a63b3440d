"""Parses options into typed dataclasses, and reports every mistake in one sentence."""

import contextlib
import dataclasses
import io
import os
import re
import typing
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TypeVar

import tyro

T = TypeVar("T")
FRAME = "╭╮╰╯│─+-| \t"


class UsageError(Exception):
    """The command line cannot be understood; the message is one sentence."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint for a name that is not valid: ``did you mean 'x'?``, or all valid names."""
    valid = list(valid)
    near = get_close_matches(name, valid, 1, 0.4)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(valid)}"


def parse(kind: type[T], arguments: Sequence[str], program: str) -> T:
    """Parse arguments into a dataclass.

    Raises:
        UsageError: a field is unknown or has a value of the wrong type.
        SystemExit: ``--help`` was asked for and has been printed.
    """
    wants_help = any(argument in ("-h", "--help") for argument in arguments)
    keywords = {"args": list(arguments), "prog": program, "return_unknown_args": True}
    if wants_help:
        tyro.cli(kind, **keywords)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said), _wide_terminal():
            parsed, unknown = tyro.cli(kind, **keywords)
    except SystemExit:
        raise UsageError(_sentence(said.getvalue())) from None
    if unknown:
        raise UsageError(_unknown(unknown[0], kind))
    return parsed


def _unknown(argument: str, kind: type) -> str:
    if not argument.startswith("-"):
        return f"{argument!r} was not expected"
    names = sorted(set(_options(kind)))
    return f"there is no option {argument.split('=')[0]!r}: {nearest(argument.split('=')[0], names)}"


def _options(kind: type) -> Iterable[str]:
    """All options of a dataclass and of the dataclasses nested in it."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        inner = hints[field.name]
        if dataclasses.is_dataclass(inner):
            yield from _options(inner)  # pyright: ignore[reportArgumentType]
        else:
            yield f"--{field.name.replace('_', '-')}"


def _sentence(said: str) -> str:
    """The first sentence inside the frame that tyro prints around an error."""
    lines = [line.strip(FRAME) for line in said.splitlines()]
    body = [line for line in lines[1:] if line]
    sentence = body[0] if body else "the arguments cannot be understood"
    wrong = re.search(r"invalid choice '([^']*)'.*Expected one of \((.*)\)", sentence)
    if wrong:
        choices = re.findall(r"'([^']*)'", wrong[2])
        return f"{sentence} {nearest(wrong[1], choices)}"
    return sentence


@contextlib.contextmanager
def _wide_terminal():
    """Make tyro's frames so wide that no sentence is broken into lines."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "1000"
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
