"""The data sets by name: loading them, and which of their files are on disk and can be read."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, partial
from typing import Any

import numpy as np

from metaplax.data.cifar10 import CIFAR10_FILES, cifar10
from metaplax.data.files import PublishedFile, fetch, locate
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

    def needs(self, name: str) -> str:
        """One sentence: what an experiment needs that uses this data set, whose name is ``name``, and how to get it."""
        how = f"; `metaplax data fetch {name}` downloads its files, --data-dir names a folder that has them"
        return f"Data: {self.summary}{how if self.files else ''}."


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
    """The entry of the catalog with this name; if there is none, a ``DataError`` gives the nearest name."""
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


def fetch_all(name: str, data_dir: PathLike | None = None, *, progress: bool = False) -> None:
    """Download those files of a data set that are not on disk.

    Raises:
        DataError: there is no such data set, or a file cannot be had.
    """
    dataset = lookup(name)
    for file in dataset.files:
        fetch(dataset.folder or name, file, data_dir, progress=progress)


def inspect(names: Sequence[str], data_dir: PathLike | None = None, *, parse: bool = False) -> list[dict[str, Any]]:
    """State of data sets on disk.

    Args:
        names: names of the data sets.
        data_dir: folder to look in before the cache.
        parse: also read all images; then missing files are a problem too.

    Returns:
        for each data set a dictionary of its ``name`` and ``summary``, the folder ``where`` it is, its ``state``, and
        what is wrong as ``problem``, or ``None``.
    """
    return [_inspect(name, data_dir, parse) for name in names]


def _inspect(name: str, data_dir: PathLike | None, parse: bool) -> dict[str, Any]:
    dataset = lookup(name)
    where = "–" if dataset.files else "built in"
    state = {"name": name, "summary": dataset.summary, "where": where, "state": "ready", "problem": None}
    try:
        look = cache(lambda file: locate(dataset.folder or name, file, data_dir))
        # Each file, or else the archive that holds it.
        found = [look(file) or (look(file.archive) if file.archive else None) for file in dataset.files]
        present = [file for file in found if file is not None]
        if dataset.files and not present and not parse:
            return state | {"state": f"not here: metaplax data fetch {name}"}
        if present:
            state["where"] = str(present[0].path.parent)
        missing = [file.name for file, at in zip(dataset.files, found, strict=True) if at is None]
        if missing:
            return state | {"problem": f"{', '.join(missing)} missing"}
        dataset.require(data_dir)
        if not all(file.is_published for file in present):
            state["state"] = "placed by hand, not verified against the published files"
        if parse:
            with warnings.catch_warnings(action="ignore", category=UserWarning):
                parts = [{"split": split} for split in dataset.splits] or [{}]
                images = [dataset.load(data_dir=data_dir, **part) for part in parts]
            counts = " + ".join(f"{len(part.images):,}" for part in images)
            state["state"] += f"; {counts} images of {len(images[0].class_names)} classes read"
    except DataError as error:
        return state | {"problem": str(error)}
    return state
