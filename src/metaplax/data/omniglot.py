"""Omniglot: 1,623 handwritten characters of 50 alphabets, 20 drawings each."""

import io
import zipfile
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from metaplax.data.checks import check_choice, check_sizes
from metaplax.data.files import PublishedFile, fetch
from metaplax.data.images import ImageSet
from metaplax.data.reading import DataError, PathLike, read_image, reading_archive

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
    with reading_archive(found.path), zipfile.ZipFile(found.path) as archive:
        for member in sorted(archive.namelist()):
            path = PurePosixPath(member)
            if path.is_absolute() or ".." in path.parts or "\\" in member:
                raise DataError(f"{found.path} is not trustworthy: its entry {member!r} points outside the archive")
            if path.suffix == ".png":
                # The published drawings are black on white.
                images.append(255 - read_image(io.BytesIO(archive.read(member)), "L", size, "BOX", ("PNG",)))
                names.append("/".join(path.parts[-3:-1]))
    if not images:
        raise DataError(f"{found.path} holds no PNG images")
    return ImageSet.from_names("omniglot" if found.is_published else "omniglot (surrogate)", np.stack(images), names)
