"""Labelled images as plain NumPy arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int, Int32, UInt8

ArrayLike = npt.ArrayLike | Sequence[Any]
"""Anything that ``numpy.asarray`` turns into an array."""

Pixels = UInt8[np.ndarray, "N height width *channels"] | Float[np.ndarray, "N height width *channels"]


@dataclass(frozen=True, init=False, eq=False)
class ImageSet:
    """A set of grey-scale or colour images with class labels.

    Anything that NumPy turns into arrays is accepted. Integers of any width become bytes, booleans 0 and 255, and
    floating-point numbers stay as they are, so that nothing is rounded. The arrays of the set are read-only views: they
    cannot be written to, and the arrays they were made from stay as writable as they were.

    Attributes:
        name: what the data are called in results, e.g. ``"emnist"``.
        images: shape ``(N, height, width)``, or in colour ``(N, height, width, 3)``, red, green and blue. Either
            integers from 0 (background) to 255 (ink), or floating-point numbers in ``[0, 1]``.
        labels: shape ``(N,)``, integers from 0 to ``len(class_names) - 1``.
        class_names: the meaning of every label.

    Raises:
        ValueError: shapes, dtypes, pixels or labels are not as above; or all pixels are the integers 0 and 1, which
            would be nearly black.
    """

    name: str
    images: Pixels
    labels: Int32[np.ndarray, " N"]
    class_names: tuple[str, ...]

    def __init__(self, name: str, images: ArrayLike, labels: ArrayLike, class_names: Iterable[str]):
        checked = _checked_images(name, np.asarray(images))
        names = tuple(map(str, class_names))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "images", checked)
        object.__setattr__(self, "labels", _checked_labels(name, np.asarray(labels), len(checked), len(names)))
        object.__setattr__(self, "class_names", names)

    @staticmethod
    def from_names(name: str, images: ArrayLike, names: Sequence[str]) -> "ImageSet":
        """A set whose labels are given as the name of every image's class; classes are numbered in sorted order."""
        class_names = sorted(set(names))
        numbers = {class_name: number for number, class_name in enumerate(class_names)}
        return ImageSet(name, images, [numbers[one] for one in names], class_names)

    def counts(self) -> Int[np.ndarray, " classes"]:
        """Number of images of every class."""
        return np.bincount(self.labels, minlength=len(self.class_names))

    def take(self, rows: Int[np.ndarray, " n"] | slice) -> "ImageSet":
        """Some of the images, with the same classes."""
        return replace(self, images=self.images[rows], labels=self.labels[rows])

    def by_class(self) -> "ImageSet":
        """The same images sorted by class, in their original order within each class."""
        return self.take(np.argsort(self.labels, kind="stable"))

    def divided(self, test: int, seed: int = 0) -> tuple["ImageSet", "ImageSet"]:
        """The same images in two parts, the second of ``test`` images, chosen at random but the same in every run.

        Raises:
            ValueError: the set has no more images than that.
        """
        if not 0 < test < len(self.images):
            raise ValueError(f"{self.name} has {len(self.images)} images, so {test} cannot be set apart")
        order = np.random.default_rng(seed).permutation(len(self.images))
        return self.take(np.sort(order[test:])), self.take(np.sort(order[:test]))

    def check_alike(self, other: "ImageSet") -> None:
        """Raise ``ValueError`` unless both sets have the same classes and sizes of images."""
        if self.class_names != other.class_names or self.images.shape[1:] != other.images.shape[1:]:
            raise ValueError(f"{self.name} and {other.name} do not have the same classes and image sizes")


def _checked_images(name: str, images: np.ndarray) -> np.ndarray:
    if images.ndim not in (3, 4) or images.shape[3:] not in ((), (3,)) or not images.size:
        raise ValueError(
            f"images of {name} must have shape (N, height, width) or (N, height, width, 3), not {images.shape}"
        )
    kind = images.dtype.kind
    if kind == "b":
        return _read_only(images * np.uint8(255))
    if kind not in "iuf":
        raise ValueError(f"images of {name} must be integers or floating-point numbers, not {images.dtype}")
    low, high = images.min(), images.max()
    if not 0 <= low <= high <= (1 if kind == "f" else 255):
        raise ValueError(
            f"pixels of {name} must be integers from 0 to 255 or floating-point numbers from 0 to 1, but are of type"
            f" {images.dtype} and range from {low} to {high}"
        )
    if kind != "f" and high == 1:
        raise ValueError(f"pixels of {name} are the integers 0 and 1, where 255 is ink: convert them to booleans")
    return _read_only(images if kind == "f" else images.astype(np.uint8, copy=False))


def _checked_labels(name: str, labels: np.ndarray, images: int, classes: int) -> np.ndarray:
    if labels.shape != (images,):
        raise ValueError(f"{images} images of {name} need labels of shape ({images},), not {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels of {name} must be integers, not {labels.dtype}")
    if not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"{name} has {classes} class names, so labels must be from 0 to {classes - 1}, but they range from"
            f" {labels.min()} to {labels.max()}"
        )
    return _read_only(labels.astype(np.int32, copy=False))


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view
