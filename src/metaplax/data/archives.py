"""One file out of a zip or tar archive, in memory: nothing is unpacked that was not asked for."""

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from metaplax.data.errors import DataError


def read_member(archive: Path, member: str) -> bytes:
    """Content of one file in a zip or a gzipped tar archive.

    Raises:
        DataError: the archive is damaged, or has no such file.
    """
    with reading_archive(archive):
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as opened:
                return opened.read(member)
        with tarfile.open(archive, "r:gz") as opened:
            for entry in opened:
                # A link or a device is not read, whatever its name.
                if entry.isreg() and PurePosixPath(entry.name) == PurePosixPath(member):
                    content = opened.extractfile(entry)
                    return content.read() if content else b""
        raise KeyError(f"there is no file {member!r} in the archive")


@contextmanager
def reading_archive(path: Path) -> Iterator[None]:
    """Say in one sentence what is wrong with an archive or an image in it.

    Raises:
        DataError: something is.
    """
    try:
        yield
    except KeyError as error:
        raise DataError(f"{path} does not hold what it should: {error.args[0]}") from error
    except (
        zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError,
        SyntaxError,
    ) as error:  # fmt: skip
        raise DataError(f"{path} is truncated or damaged: {error}") from error
