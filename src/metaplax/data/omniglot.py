"""Omniglot: 1,623 handwritten characters of 50 alphabets, 20 drawings each."""

import io
import zipfile
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from PIL import Image

from metaplax.data.archives import reading_archive
from metaplax.data.errors import DataError
from metaplax.data.files import PublishedFile, fetch
from metaplax.data.images import ImageSet

URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
BACKGROUND = PublishedFile("images_background.zip", URL + "images_background.zip", "68d2efa1b9178cc56df9314c21c6e718")
EVALUATION = PublishedFile("images_evaluation.zip", URL + "images_evaluation.zip", "6b91aef0f799c5bb55b94e3f2daec811")
OMNIGLOT_FILES = (BACKGROUND, EVALUATION)


def omniglot(
    split: Literal["background", "evaluation"] = "background", *, data_dir: Path | None = None, size: int = 28
) -> ImageSet:
    """Omniglot (Lake, Salakhutdinov & Tenenbaum, 2015), strokes bright on black.

    Args:
        split: ``"background"`` has 964 characters, ``"evaluation"`` 659.
        data_dir: folder to look in before the cache and the web.
        size: width and height in pixels that the 105 x 105 drawings are resized to.

    Raises:
        DataError: the archive is missing or damaged, or holds what it should not.
    """
    found = fetch("omniglot", BACKGROUND if split == "background" else EVALUATION, data_dir)
    images, names = [], []
    with reading_archive(found.path), zipfile.ZipFile(found.path) as archive:
        for member in sorted(archive.namelist()):
            path = PurePosixPath(member)
            refuse_escape(found.path, path)
            if path.suffix == ".png":
                images.append(_strokes(archive.read(member), size))
                names.append("/".join(path.parts[-3:-1]))
    if not images:
        raise DataError(f"{found.path} holds no PNG images")
    class_names, labels = np.unique(names, return_inverse=True)
    reported = "omniglot" if found.is_published else "omniglot (surrogate)"
    return ImageSet(reported, np.stack(images), labels.astype(np.int32), tuple(str(name) for name in class_names))


def refuse_escape(archive: Path, member: PurePosixPath) -> None:
    """Refuse archives with entries that point out of the folder they are unpacked in.

    Raises:
        DataError: this entry does.
    """
    if member.is_absolute() or ".." in member.parts or "\\" in str(member):
        raise DataError(f"{archive} is not trustworthy: its entry {str(member)!r} points outside the archive")


def _strokes(png: bytes, size: int) -> np.ndarray:
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        grey = np.asarray(image.convert("L").resize((size, size), Image.Resampling.BOX))
    return 255 - grey
