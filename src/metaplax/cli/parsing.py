"""Parses options into the parameters of functions or dataclasses, and reports every mistake in one sentence."""

import contextlib
import dataclasses
import inspect
import io
import os
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import partial, wraps
from typing import Any, TypeVar

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


def call(function: Callable[..., T], program: str, arguments: Sequence[str]) -> T:
    """Call a function with the options of a command, which are its parameters; raises what ``parse`` does."""

    @wraps(function)
    def bound(*values: Any, **options: Any) -> Callable[[], T]:
        return partial(function, *values, **options)

    return parse(bound, arguments, program)()


def parse(kind: Callable[..., T], arguments: Sequence[str], program: str, about: str = "") -> T:
    """Parse arguments into a dataclass, or into what another callable makes of them.

    Args:
        kind: the dataclass or callable.
        arguments: what was typed.
        program: what was typed before them.
        about: a text that ``--help`` begins with.

    Raises:
        UsageError: a field is unknown or has a value of the wrong type.
        SystemExit: ``--help`` was asked for and has been printed.
    """
    keywords = {"args": list(arguments), "prog": program, "return_unknown_args": True, "description": about}
    if any(argument in ("-h", "--help") for argument in arguments):
        tyro.cli(kind, **keywords)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said), _wide_terminal():
            parsed, unknown = tyro.cli(kind, **keywords)
    except SystemExit:
        raise UsageError(_sentence(said.getvalue())) from None
    if not unknown:
        return parsed
    name, is_option = unknown[0].split("=")[0], unknown[0].startswith("-")
    hint = f"there is no option {name!r}: {nearest(name, sorted(set(_options(kind))))}"
    raise UsageError(hint if is_option else f"{unknown[0]!r} was not expected")


def _options(kind: Callable) -> Iterator[str]:
    """All options of a function or dataclass, and of the dataclasses nested in it."""
    hints = typing.get_type_hints(kind)
    for name in inspect.signature(kind).parameters:
        if dataclasses.is_dataclass(hints[name]):
            yield from _options(hints[name])
        else:
            yield f"--{name.replace('_', '-')}"


def _sentence(said: str) -> str:
    """The first sentence inside the frame that tyro prints around an error."""
    lines = [line.strip(FRAME) for line in said.splitlines()[1:]]
    sentence = next(filter(None, lines), "the arguments cannot be understood")
    wrong = re.search(r"invalid choice '([^']*)'.*Expected one of \((.*)\)", sentence)
    choices = re.findall(r"'([^']*)'", wrong[2]) if wrong else []
    return f"{sentence} {nearest(wrong[1], choices)}" if wrong else sentence


@contextlib.contextmanager
def _wide_terminal():
    """Make tyro's frames so wide that no sentence is broken into lines."""
    before = {name: value for name, value in os.environ.items() if name == "COLUMNS"}
    os.environ["COLUMNS"] = "1000"
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        os.environ.update(before)
