"""Bytes of files and of single members of archives, and images; a ``DataError`` says what is wrong with them."""

import hashlib
import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np

PathLike = str | os.PathLike[str]


class DataError(Exception):
    """A data file is missing, damaged or not what it should be; the message is one sentence."""


@contextmanager
def opened(path: PathLike) -> Iterator[io.BufferedReader]:
    """Open a file for reading bytes."""
    try:
        with Path(path).open("rb") as stream:
            yield stream
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def read_file(path: PathLike, size: int = -1) -> bytes:
    """The first ``size`` bytes of a file, by default all; web pages, as dead links leave behind, are refused."""
    with opened(path) as stream:
        content = stream.read(size)
    if content[:512].lstrip().lower().startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        raise DataError(f"{path} is a web page and not data: delete it and fetch the file again")
    return content


def md5_of(path: PathLike) -> str:
    """MD5 checksum of a file, as hexadecimal digits."""
    with opened(path) as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def read_member(archive: PathLike, member: str) -> bytes:
    """Content of one file in a zip or a gzipped tar archive. Nothing is unpacked to disk."""
    with reading_archive(archive):
        if Path(archive).suffix == ".zip":
            with zipfile.ZipFile(archive) as opened:
                return opened.read(member)
        with tarfile.open(archive, "r:gz") as entries:
            for entry in entries:
                # A link or a device is not read, whatever its name.
                if entry.isreg() and PurePosixPath(entry.name) == PurePosixPath(member):
                    stream = entries.extractfile(entry)
                    return stream.read() if stream else b""
        raise KeyError(f"there is no file {member!r} in the archive")


@contextmanager
def reading_archive(path: PathLike) -> Iterator[None]:
    """Turn errors while an archive or an image in it is read into one sentence."""
    try:
        yield
    except KeyError as error:
        raise DataError(f"{path} does not hold what it should: {error.args[0]}") from error
    except (
        zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError,
        SyntaxError,
    ) as error:  # fmt: skip
        raise DataError(f"{path} is truncated or damaged: {error}") from error


def read_image(
    file: PathLike | io.BytesIO, mode: str, size: int, resampling: str, formats: tuple[str, ...] | None = None
) -> np.ndarray:
    """Decode an image file and resize it to ``(size, size)`` bytes, or in colour ``(size, size, 3)``.

    Names of modes (``"L"`` for shades of grey), filters and formats (by default all) are those of Pillow.
    """
    from PIL import Image

    with Image.open(file, formats=formats) as image:
        return np.asarray(image.convert(mode).resize((size, size), Image.Resampling[resampling]))
