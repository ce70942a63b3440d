"""Bytes of files, which are not trusted; a ``DataError`` says what is wrong with them.

Only regular files are opened, and no more is read or unpacked than ``LARGEST`` bytes, whatever a file says of itself.
"""

import gzip
import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PathLike = str | os.PathLike[str]

LARGEST = 2**28
"""Bytes of a file, or of what it unpacks to, that are read into memory."""
LARGEST_ARCHIVE = 2**31
"""Bytes of an archive, which is read piece by piece."""
PIECE = 2**20
NO_FILE = "is no file, but a folder, a pipe or a device"
GZIP_MAGIC = b"\x1f\x8b"
WEB_PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml")


class DataError(Exception):
    """A data file is missing, damaged or not what it should be; the message is one line that any terminal shows."""

    def __init__(self, message: str):
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in message))


@contextmanager
def parsing(what: object, fault: str = "is truncated or damaged") -> Iterator[None]:
    """Turn whatever a parser raises into one sentence about what it read: on damaged data, that can be any error."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{what} {fault}: {str(error) or type(error).__name__}") from error


@contextmanager
def accessing(path: object, doing: str = "read") -> Iterator[None]:
    """Turn an error of the operating system into one sentence."""
    try:
        yield
    except (OSError, ValueError) as error:  # the latter for names that no file can have
        raise DataError(f"{path} cannot be {doing}: {getattr(error, 'strerror', None) or error}") from error


@contextmanager
def opened(path: PathLike, largest: int = LARGEST_ARCHIVE) -> Iterator[io.BufferedReader]:
    """Open a file for reading bytes.

    Raises:
        DataError: it is missing, larger than ``largest``, a web page as dead links leave behind, or no file but a pipe
            or a device, which could be read without end.
    """
    with accessing(path):
        about = Path(path).stat()
        if not stat.S_ISREG(about.st_mode):
            raise DataError(f"{path} {NO_FILE}")
        if about.st_size > largest:
            raise DataError(f"{path} has {about.st_size:,} bytes, more than the {largest:,} that are read")
        with Path(path).open("rb") as stream:
            if stream.peek(512)[:512].lstrip().lower().startswith(WEB_PAGES):
                raise DataError(f"{path} is a web page and not data: delete it and fetch the file again")
            yield stream


def read_file(path: PathLike, largest: int = LARGEST) -> bytes:
    """Content of a file of at most ``largest`` bytes."""
    with opened(path, largest) as stream:
        return stream.read()


@contextmanager
def unzipped(path: PathLike) -> Iterator[io.BufferedIOBase]:
    """Open a file that may be packed by gzip; what is read from it is unpacked on the way."""
    with opened(path) as stream:
        if stream.peek(2)[:2] == GZIP_MAGIC:
            with parsing(path, "is a truncated or damaged gzip file"), gzip.GzipFile(fileobj=stream) as unpacked:
                yield unpacked
        elif Path(path).suffix == ".gz":
            raise DataError(f"{path} is not a gzip file, although its name says so")
        else:
            yield stream


def read_up_to(read: Callable[[int], bytes], size: int) -> bytearray:
    """The next ``size`` bytes, or those that are left; takes memory for what is there only."""
    content = bytearray()
    while len(content) < size and (piece := read(min(PIECE, size - len(content)))):
        content += piece
    return content


def md5_of(path: PathLike) -> str:
    """MD5 checksum of a file, as hexadecimal digits."""
    with opened(path) as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def is_file(path: Path, roots: list[Path]) -> bool:
    """Whether there is a file at this path. Links are followed as long as they do not lead out of the root folders.

    Raises:
        DataError: something else than a file is there, or a link that leads out or to nothing.
    """
    found = mode(path)
    if not found:
        return False
    if not stat.S_ISREG(found):
        raise DataError(f"{path} {NO_FILE}")
    check_inside(path, roots)
    return True


def mode(path: Path) -> int:
    """The mode of a file or folder, for the functions of ``stat``; 0 if nothing is there.

    Raises:
        DataError: that cannot be told, or it is a link to nothing.
    """
    with accessing(path):
        try:
            return path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            if path.is_symlink():
                raise DataError(f"{path} is a link to nothing") from None
            return 0


def check_inside(path: Path, roots: list[Path]) -> None:
    """Refuse a path that leads out of all these folders by a link."""
    real = Path(os.path.realpath(path))
    if not any(real.is_relative_to(os.path.realpath(root)) for root in roots):
        raise DataError(f"{path} is a link that leads out of {roots[0]}: put a copy in its place")
