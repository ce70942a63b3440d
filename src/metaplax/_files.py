"""Writes files whole or not at all, in folders that somebody may have put links into: nothing behind a link changes."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout


def refuse_links(path: Path, below: Path | None = None) -> None:
    """Refuse a path that is a link, and links among the folders between it and the one that it lies ``below``.

    Raises:
        OSError: there is a link; the message is part of a sentence.
    """
    between = [] if below is None else [below / part for part in path.relative_to(below).parents]
    for one in (path, *between):
        if one.is_symlink() and one != below:
            raise OSError(errno.ELOOP, f"{one} is a link, and what it leads to is left alone", str(one))


def make_folder(path: Path, below: Path) -> None:
    """Make a folder and those that it lies in; from ``below`` on, none may be a link.

    Raises:
        OSError: it cannot be made.
    """
    refuse_links(path, below)
    path.mkdir(parents=True, exist_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, all or nothing. If there is a link in its place, the link is replaced.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    # Other processes may write the same file, and others may have put a link there: hence a new name, and "x".
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sweep(folder: Path) -> None:
    """Delete the JSON files that a killed process has left half written; for who alone writes to the folder."""
    for left in folder.glob(f"*.json*.{'[0-9a-f]' * 8}.partial"):
        if left.is_file():
            left.unlink()


def open_to_append(path: Path) -> IO[str]:
    """Open a text file to add lines to it.

    Raises:
        OSError: it cannot be opened, or it is a link.
    """
    refuse_links(path)
    return path.open("a", encoding="utf-8")


@contextmanager
def locked(folder: Path, problem: str) -> Iterator[None]:
    """Hold the lock of a folder, which the operating system releases when the process ends.

    Raises:
        OSError: another process holds it; says ``problem``.
    """
    refuse_links(folder / ".lock")
    try:
        lock = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout:
        raise OSError(errno.EBUSY, problem, str(folder)) from None
    with lock:
        yield
