"""The IDX format of MNIST and its descendants, gzipped or not.

Two zero bytes, a type code (8: unsigned byte), the number of axes, one big-endian 32-bit integer per
axis, then the data in C order (LeCun, Cortes & Burges).
"""

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np

from metaplax.data.reading import DataError, PathLike, read_file

UNSIGNED_BYTE = 8
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: PathLike) -> np.ndarray:
    """Parse an IDX file of unsigned bytes.

    Raises:
        DataError: the file is missing, truncated, damaged, an HTML page, or of another type.
    """
    content = _decompressed(path)
    if len(content) < 4 or content[:2] != b"\0\0":
        raise DataError(f"{path} is not an IDX file: it does not start with two zero bytes")
    if content[2] != UNSIGNED_BYTE:
        raise DataError(
            f"{path} holds IDX data of type {content[2]:#x}, but images and labels are unsigned bytes (0x8)"
        )
    axes = content[3]
    header = 4 + 4 * axes
    shape = tuple(int(n) for n in np.frombuffer(content[4:header], ">u4")) if len(content) >= header else None
    if shape is None or len(content) - header != prod(shape):
        promised = "an incomplete header" if shape is None else f"{prod(shape):,} values in its header"
        raise DataError(f"{path} is truncated or damaged: {promised}, {max(0, len(content) - header):,} in the file")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _decompressed(path: PathLike) -> bytes:
    raw = read_file(path)
    if not raw.startswith(GZIP_MAGIC):
        if Path(path).suffix == ".gz":
            raise DataError(f"{path} is not a gzip file, although its name says so")
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is a truncated or damaged gzip file: {error}") from error
