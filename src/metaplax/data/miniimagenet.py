"""mini-ImageNet: a user's own folder of images, and the standard lists of which class belongs to which part."""

import csv
import io
from pathlib import Path
from typing import Literal

import numpy as np

from metaplax.data.archives import is_plain
from metaplax.data.checks import check_choice, check_sizes
from metaplax.data.decoding import decoded
from metaplax.data.files import PublishedFile, fetch, root_folders, search_folders
from metaplax.data.images import ImageSet
from metaplax.data.reading import DataError, PathLike, is_file, parsing, read_file

NAME = "miniimagenet"
URL = "https://raw.githubusercontent.com/yaoyao-liu/mini-imagenet-tools/master/mini_imagenet_split/Ravi/"
MD5 = {
    "train": "9525e1538f67719f18f1936bf8d0782d",
    "val": "ce315ce99b41fbf84fa6acd69315d918",
    "test": "5b89df877c6cbe5d291e43118a2a9591",
}
MINIIMAGENET_FILES = tuple(
    PublishedFile(
        f"{split}.csv", f"{URL}{split}.csv", md5, paths=(f"Ravi/{split}.csv", f"{NAME}_splits/Ravi/{split}.csv")
    )
    for split, md5 in MD5.items()
)


def miniimagenet(
    split: Literal["train", "val", "test"] = "train", *, data_dir: PathLike | None = None, size: int = 84
) -> ImageSet:
    """mini-ImageNet (Vinyals et al., 2016), 84 x 84 pixels in colour; classes divided as by Ravi & Larochelle (2017).

    Images are not published on their own. They are looked for in the folder ``miniimagenet`` or its folder
    ``images``, under the names in the published lists, or in one folder per class.

    Args:
        split: ``"train"`` has 64 classes, ``"val"`` 16 and ``"test"`` 20.
        data_dir: folder to look in before the cache.
        size: width and height in pixels that images are resized to.

    Raises:
        DataError: the list or an image is missing or damaged.
    """
    check_choice("split", split, MD5)
    check_sizes(size=size)
    rows = _rows(split, data_dir)
    folder, roots = _folder_of(rows[0], data_dir), root_folders(NAME, data_dir)
    images = []
    for row in rows:
        path = _path(folder, roots, *row)
        if path is None:
            raise DataError(f"the image {folder / row[0]} is in the list, but not in the folder")
        images.append(decoded(read_file(path), path, "RGB", size))
    with parsing(folder, "cannot be used"):
        return ImageSet.from_names(NAME, np.stack(images), [label for _, label in rows])


def require_images(data_dir: PathLike | None = None) -> None:
    """Raise ``DataError`` unless there are images, and not only the lists of their names."""
    _folder_of(_rows("train", data_dir)[0], data_dir)


def _rows(split: str, data_dir: PathLike | None) -> list[tuple[str, str]]:
    """File name and class of every image in a list."""
    path = fetch(NAME, MINIIMAGENET_FILES[list(MD5).index(split)], data_dir).path
    found: dict[str, str] = {}
    with parsing(path):
        lines = csv.DictReader(io.StringIO(read_file(path).decode("utf-8-sig"), newline=""), strict=True)
        if not {"filename", "label"} <= set(lines.fieldnames or ()):
            raise DataError(f"{path} is no list of images with the columns filename and label")
        for line in lines:
            name, label = line["filename"], line["label"]
            if None in line or not all(value and is_plain(value) for value in (name, label)):
                raise DataError(
                    f"line {lines.line_num} of {path} is not the name of an image and of its class, which are no paths"
                )
            if name in found:
                raise DataError(f"line {lines.line_num} of {path} lists {name} a second time")
            found[name] = label
    if not found:
        raise DataError(f"{path} is an empty list of images")
    return list(found.items())


def _folder_of(row: tuple[str, str], data_dir: PathLike | None) -> Path:
    for folder in search_folders(NAME, data_dir):
        for candidate in (folder / "images", folder):
            if _path(candidate, root_folders(NAME, data_dir), *row):
                return candidate
    raise DataError(
        f"the images of mini-ImageNet are not here: put them into the folder {NAME}/images of your data folder, under"
        f" names like {row[0]}, and name that with --data-dir"
    )


def _path(folder: Path, roots: list[Path], name: str, label: str) -> Path | None:
    """Path of an image, if it is there: in the folder itself, or in the folder of its class."""
    candidates = (folder / name, folder / label / name)
    return next((path for path in candidates if is_file(path, roots)), None)
