"""Labelled images: published files are found or downloaded, verified and parsed; glyphs are rendered."""

from metaplax.data.catalog import CATALOG, Dataset, fetch_all, inspect, load
from metaplax.data.cifar10 import cifar10
from metaplax.data.glyphs import glyphs
from metaplax.data.handwriting import emnist, fashion_mnist, mnist
from metaplax.data.image_folder import from_folder
from metaplax.data.images import ImageSet
from metaplax.data.miniimagenet import miniimagenet
from metaplax.data.omniglot import omniglot
from metaplax.data.reading import DataError

__all__ = [
    "CATALOG", "DataError", "Dataset", "ImageSet", "cifar10", "emnist", "fashion_mnist", "fetch_all",
    "from_folder", "glyphs", "inspect", "load", "miniimagenet", "mnist", "omniglot",
]  # fmt: skip
