"""Files in zip and tar archives, one at a time; nothing is unpacked to disk."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from metaplax.data.reading import LARGEST, DataError, PathLike, opened, parsing, read_up_to

PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Those that Python can unpack piece by piece."""
ENCRYPTED = 0x1


def read_member(path: PathLike, name: str) -> bytes:
    """Content of one file in a zip or a gzipped tar archive.

    Raises:
        DataError: the archive is damaged or does not hold the file, or that unpacks to more than ``LARGEST`` bytes.
    """
    return _in_zip(path, name) if Path(path).suffix == ".zip" else _in_tar(path, name)


def is_plain(name: str) -> bool:
    """Whether a text is a mere name of a file: on no system a path, and nothing unprintable."""
    is_name = all(kind(name).name == name for kind in (PurePosixPath, PureWindowsPath))
    return is_name and name not in ("", "..") and name.isprintable()


@contextmanager
def opened_zip(path: PathLike) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive."""
    with opened(path) as stream, parsing(path), zipfile.ZipFile(stream) as archive:
        yield archive


def unpacked(archive: zipfile.ZipFile, name: str, path: PathLike) -> bytes:
    """Content of one file in the zip archive at ``path``."""
    about = archive.getinfo(name)
    if about.compress_type not in PACKINGS or about.flag_bits & ENCRYPTED:
        raise DataError(f"{name!r} in {path} is encrypted or packed in an unusual way: pack it again")
    if about.file_size > LARGEST:
        size = f"{about.file_size:,} bytes"
        raise DataError(f"{name!r} in {path} unpacks to {size}, more than the {LARGEST:,} that are read")
    with parsing(f"{name!r} in {path}"), archive.open(about) as stream:
        return bytes(read_up_to(stream.read, about.file_size))


def _in_zip(path: PathLike, name: str) -> bytes:
    with opened_zip(path) as archive:
        if name not in archive.NameToInfo:
            raise _lacks(path, name)
        return unpacked(archive, name, path)


def _in_tar(path: PathLike, name: str) -> bytes:
    with opened(path) as stream, parsing(path), gzip.GzipFile(fileobj=stream) as content:
        with tarfile.open(fileobj=_Bounded(content, path), mode="r|") as entries:  # pyright: ignore
            for entry in entries:
                # A link or a device is not read, whatever its name, nor what has holes of any size.
                if entry.isreg() and not entry.issparse() and PurePosixPath(entry.name) == PurePosixPath(name):
                    found = entries.extractfile(entry)
                    return bytes(read_up_to(found.read, entry.size)) if found else b""
        raise _lacks(path, name)


class _Bounded:
    """A stream that must end before it has given too many bytes."""

    def __init__(self, stream: io.BufferedIOBase, path: PathLike):
        self.stream, self.path, self.given = stream, path, 0

    def read(self, size: int, /) -> bytes:
        content = self.stream.read(size)
        self.given += len(content)
        if self.given > LARGEST:
            raise DataError(f"{self.path} unpacks to more than the {LARGEST:,} bytes that are read")
        return content


def _lacks(path: PathLike, name: str) -> DataError:
    return DataError(f"{path} does not hold what it should: there is no file {name!r} in the archive")
