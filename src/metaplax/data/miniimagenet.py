"""mini-ImageNet: a user's own folder of images, and the standard lists of which class belongs to which part."""

import csv
import io
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from metaplax.data.checks import check_choice, check_sizes
from metaplax.data.files import PublishedFile, fetch, search_folders
from metaplax.data.images import ImageSet
from metaplax.data.reading import DataError, PathLike, read_file, read_image

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
    folder = _folder_of(rows[0], data_dir)
    images = np.stack([_image(_path(folder, *row), size) for row in rows])
    return ImageSet.from_names(NAME, images, [label for _, label in rows])


def require_images(data_dir: PathLike | None = None) -> None:
    """Raise ``DataError`` unless there are images, and not only the lists of their names."""
    _folder_of(_rows("train", data_dir)[0], data_dir)


def _rows(split: str, data_dir: PathLike | None) -> list[tuple[str, str]]:
    """File name and class of every image in a list."""
    path = fetch(NAME, MINIIMAGENET_FILES[list(MD5).index(split)], data_dir).path
    try:
        rows = csv.DictReader(io.StringIO(read_file(path).decode()))
        listed = [(row["filename"], row["label"]) for row in rows]
    except (UnicodeDecodeError, KeyError, csv.Error):
        listed = []
    if not listed or any(Path(name).name != name or not label for name, label in listed):
        raise DataError(f"{path} is no list of images with the columns filename and label")
    return listed


def _folder_of(row: tuple[str, str], data_dir: PathLike | None) -> Path:
    for folder in search_folders(NAME, data_dir):
        for candidate in (folder / "images", folder):
            if _path(candidate, *row).is_file():
                return candidate
    raise DataError(
        f"the images of mini-ImageNet are not here: put them into the folder {NAME}/images of your data folder, under"
        f" names like {row[0]}, and name that with --data-dir"
    )


def _path(folder: Path, name: str, label: str) -> Path:
    """Path of an image: in the folder itself, or in the folder of its class."""
    return folder / name if (folder / name).is_file() else folder / label / name


def _image(path: Path, size: int) -> UInt8[np.ndarray, "size size 3"]:
    try:
        return read_image(path, "RGB", size, "BILINEAR")
    except FileNotFoundError as error:
        raise DataError(f"the image {path} is in the list, but not in the folder") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read as an image") from error
