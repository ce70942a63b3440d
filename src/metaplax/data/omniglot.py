"""Omniglot: 1,623 handwritten characters of 50 alphabets, 20 drawings each."""

import zipfile
from pathlib import PurePosixPath, PureWindowsPath
from typing import Literal

import numpy as np

from metaplax.data.archives import opened_zip, unpacked
from metaplax.data.checks import check_choice, check_sizes
from metaplax.data.decoding import decoded
from metaplax.data.files import PublishedFile, fetch
from metaplax.data.images import ImageSet
from metaplax.data.reading import LARGEST, DataError, PathLike, parsing

URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
MD5 = {"background": "68d2efa1b9178cc56df9314c21c6e718", "evaluation": "6b91aef0f799c5bb55b94e3f2daec811"}
OMNIGLOT_FILES = tuple(
    PublishedFile(f"images_{split}.zip", f"{URL}images_{split}.zip", md5) for split, md5 in MD5.items()
)


def omniglot(
    split: Literal["background", "evaluation"] = "background", *, data_dir: PathLike | None = None, size: int = 28
) -> ImageSet:
    """Omniglot (Lake, Salakhutdinov & Tenenbaum, 2015), strokes bright on black.

    Args:
        split: ``"background"`` has 964 characters, ``"evaluation"`` 659.
        data_dir: folder to look in before the cache and the web.
        size: width and height in pixels that the 105 x 105 drawings are resized to.

    Raises:
        DataError: the archive is missing or damaged, or holds what it should not.
    """
    check_choice("split", split, MD5)
    check_sizes(size=size)
    found = fetch("omniglot", OMNIGLOT_FILES[list(MD5).index(split)], data_dir)
    images, names = [], []
    with opened_zip(found.path) as archive:
        for member in _drawings(archive, found.path):
            name = f"{member!r} in {found.path}"
            # The published drawings are black on white.
            images.append(255 - decoded(unpacked(archive, member, found.path), name, "L", size, resampling="BOX"))
            names.append("/".join(PurePosixPath(member).parts[-3:-1]))
    with parsing(found.path, "cannot be used"):
        reported = "omniglot" if found.is_published else "omniglot (surrogate)"
        return ImageSet.from_names(reported, np.stack(images), names)


def _drawings(archive: zipfile.ZipFile, path: PathLike) -> list[str]:
    """Names of the PNG images in an archive, without those that file managers leave behind."""
    found, size = [], 0
    for member in sorted(archive.NameToInfo):
        inside = PurePosixPath(member)
        if inside.is_absolute() or PureWindowsPath(member).drive or ".." in inside.parts or "\\" in member:
            raise DataError(f"{path} is not trustworthy: its entry {member!r} points outside the archive")
        is_hidden = any(part[0] == "." or part.lower() == "__macosx" for part in inside.parts)
        if is_hidden or member.endswith("/") or inside.suffix.lower() != ".png":
            continue
        if len(inside.parts) < 3:
            raise DataError(f"{member!r} in {path} is in no folder of a character in the folder of an alphabet")
        found.append(member)
        size += archive.NameToInfo[member].file_size
    if not found:
        raise DataError(f"{path} holds no PNG images")
    if size > LARGEST:
        raise DataError(f"{path} unpacks to {size:,} bytes, more than the {LARGEST:,} that are read")
    return found
