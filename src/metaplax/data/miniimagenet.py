"""mini-ImageNet: a user's own folder of images, and the standard lists of which class belongs to which part."""

import csv
import io
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from metaplax.data.errors import DataError
from metaplax.data.files import PublishedFile, fetch, search_folders
from metaplax.data.images import ImageSet

NAME = "miniimagenet"
URL = "https://raw.githubusercontent.com/yaoyao-liu/mini-imagenet-tools/master/mini_imagenet_split/Ravi/"
MD5 = {
    "train.csv": "9525e1538f67719f18f1936bf8d0782d",
    "val.csv": "ce315ce99b41fbf84fa6acd69315d918",
    "test.csv": "5b89df877c6cbe5d291e43118a2a9591",
}
MINIIMAGENET_FILES = tuple(
    PublishedFile(name, URL + name, md5, places=(f"Ravi/{name}", f"{NAME}_splits/Ravi/{name}"))
    for name, md5 in MD5.items()
)


def miniimagenet(
    split: Literal["train", "val", "test"] = "train", *, data_dir: Path | None = None, size: int = 84
) -> ImageSet:
    """mini-ImageNet (Vinyals et al., 2016; classes as divided by Ravi & Larochelle, 2017): 64, 16 and 20 classes.

    Images are not published on their own. They are looked for in the folder ``miniimagenet`` or its folder
    ``images``, under the names in the lists, or in one folder per class.

    Args:
        split: which classes.
        data_dir: folder to look in before the cache.
        size: width and height in pixels that images are resized to.

    Raises:
        DataError: the list or an image is missing or damaged.
    """
    rows = _rows(split, data_dir)
    folder = _folder_of(rows[0], data_dir)
    images = np.stack([_image(_place(folder, *row), size) for row in rows])
    class_names, labels = np.unique([label for _, label in rows], return_inverse=True)
    return ImageSet(NAME, images, labels.astype(np.int32), tuple(str(name) for name in class_names))


def require_images(data_dir: Path | None = None) -> None:
    """See to it that there are images, and not the lists alone.

    Raises:
        DataError: there are none.
    """
    _folder_of(_rows("train", data_dir)[0], data_dir)


def _rows(split: str, data_dir: Path | None) -> list[tuple[str, str]]:
    file = next(file for file in MINIIMAGENET_FILES if file.name == f"{split}.csv")
    return _listed(fetch(NAME, file, data_dir).path)


def _listed(path: Path) -> list[tuple[str, str]]:
    """File name and class of every image in a list."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        listed = [(row["filename"], row["label"]) for row in rows]
    except (OSError, UnicodeDecodeError, KeyError) as error:
        raise DataError(f"{path} is no list of images with the columns filename and label") from error
    if not listed or any(Path(name).name != name or not label for name, label in listed):
        raise DataError(f"{path} is no list of images with the columns filename and label")
    return listed


def _folder_of(row: tuple[str, str], data_dir: Path | None) -> Path:
    for folder in search_folders(NAME, data_dir):
        for place in (folder / "images", folder):
            if _place(place, *row).is_file():
                return place
    raise DataError(
        f"the images of mini-ImageNet are not here: put them into the folder {NAME}/images of your data folder, under"
        f" names like {row[0]}, and name that with --data-dir"
    )


def _place(folder: Path, name: str, label: str) -> Path:
    """Where an image is: in the folder itself, or in that of its class."""
    return folder / name if (folder / name).is_file() else folder / label / name


def _image(path: Path, size: int) -> UInt8[np.ndarray, "size size 3"]:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
    except FileNotFoundError as error:
        raise DataError(f"the image {path} is in the list, but not in the folder") from error
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{path} cannot be read as an image") from error
