"""The data sets by name."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

import numpy as np

from metaplax.data.cifar10 import CIFAR10_FILES, cifar10
from metaplax.data.files import PublishedFile
from metaplax.data.glyphs import glyphs
from metaplax.data.handwriting import FASHION_FILES, MNIST_FILES, emnist, emnist_files, fashion_mnist, mnist
from metaplax.data.images import ImageSet
from metaplax.data.miniimagenet import MINIIMAGENET_FILES, miniimagenet, require_images
from metaplax.data.omniglot import OMNIGLOT_FILES, omniglot
from metaplax.data.reading import DataError, PathLike


@dataclass(frozen=True)
class Dataset:
    """An entry of the catalog.

    Attributes:
        summary: one line that describes the data set.
        load: function of ``data_dir`` that returns the images that experiments use by default.
        files: published files the data set is read from; empty if it is built in.
        splits: values that ``load`` takes as ``split``.
        folder: name of the folder where its files are looked for, if it is not the name of the data set.
        require: function of ``data_dir`` that raises ``DataError`` if anything besides ``files`` is missing.
    """

    summary: str
    load: Callable[..., ImageSet]
    files: tuple[PublishedFile, ...] = ()
    splits: tuple[str, ...] = ()
    folder: str = ""
    require: Callable[[PathLike | None], None] = lambda data_dir: None


NO_IMAGES = ImageSet("none", np.zeros((1, 1, 1), np.uint8), np.zeros(1, np.int32), ("blank",))
HALVES = ("train", "test")
OMNIGLOT_SPLITS = ("background", "evaluation")
CATALOG: dict[str, Dataset] = {
    "none": Dataset("no images: tasks that are drawn from keys", lambda data_dir: NO_IMAGES),
    "glyphs": Dataset("built in: 47 characters x 200 images of 28x28, rendered from fonts", lambda data_dir: glyphs()),
    "emnist": Dataset(
        "EMNIST balanced, test files: 47 characters x 400 images of 28x28", emnist, emnist_files(), HALVES
    ),
    "mnist": Dataset("MNIST: 10 digits, 60,000 + 10,000 images of 28x28", mnist, MNIST_FILES, HALVES),
    "fashion_mnist": Dataset(
        "Fashion-MNIST: 10 kinds of clothing, 60,000 + 10,000 images of 28x28", fashion_mnist, FASHION_FILES, HALVES
    ),
    "cifar10": Dataset(
        "CIFAR-10: 10 kinds of animals and vehicles, 50,000 + 10,000 colour images of 32x32",
        cifar10,
        CIFAR10_FILES,
        HALVES,
    ),
    "omniglot": Dataset(
        "Omniglot: 964 + 659 characters x 20 images of 105x105, read as 28x28",
        omniglot,
        OMNIGLOT_FILES,
        OMNIGLOT_SPLITS,
    ),
    "omniglot84": Dataset(
        "Omniglot, read as 84x84", partial(omniglot, size=84), OMNIGLOT_FILES, OMNIGLOT_SPLITS, "omniglot"
    ),
    "miniimagenet": Dataset(
        "mini-ImageNet: 64 + 16 + 20 classes x 600 colour images, read as 84x84 from your own folder",
        miniimagenet,
        MINIIMAGENET_FILES,
        ("train", "val", "test"),
        require=require_images,
    ),
}


def lookup(name: str) -> Dataset:
    """The entry of the catalog with this name.

    Raises:
        DataError: there is none; the message gives the nearest name.
    """
    if name not in CATALOG:
        near = get_close_matches(name, CATALOG, 1, 0.4)
        hint = f"did you mean {near[0]!r}" if near else f"there are {', '.join(CATALOG)}"
        raise DataError(f"there is no data set {name!r}: {hint}")
    return CATALOG[name]


def load(name: str, data_dir: PathLike | None = None, split: str | None = None) -> ImageSet:
    """Load a data set by name, or one of its splits.

    Args:
        name: key of ``CATALOG``.
        data_dir: folder to look in before the cache and the web.
        split: part of the data set; by default the one that experiments use.

    Raises:
        DataError: there is no such data set or split, or its files are missing or damaged.
    """
    found = lookup(name)
    if split is None:
        return found.load(data_dir=data_dir)
    if split not in found.splits:
        raise DataError(f"{name} has no split {split!r}: it has {', '.join(found.splits) or 'none'}")
    return found.load(data_dir=data_dir, split=split)
