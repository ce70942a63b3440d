"""Labelled images as plain NumPy arrays."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt8


@dataclass(frozen=True)
class ImageSet:
    """A set of grey-scale or colour images with class labels.

    Attributes:
        name: what results on it are reported as, e.g. ``"emnist"``.
        images: shape ``(N, height, width)``, 0 is background and 255 is ink; in colour ``(N, height, width, 3)``,
            red, green and blue from 0 to 255.
        labels: shape ``(N,)``, values ``0..len(class_names) - 1``.
        class_names: what each label stands for.
    """

    name: str
    images: UInt8[np.ndarray, "N height width *channels"]
    labels: Int[np.ndarray, " N"]
    class_names: tuple[str, ...]

    def counts(self) -> Int[np.ndarray, " classes"]:
        """Number of images of every class."""
        return np.bincount(self.labels, minlength=len(self.class_names))

    def by_class(self) -> "ImageSet":
        """The same images sorted by class, in their original order within each class."""
        order = np.argsort(self.labels, kind="stable")
        return ImageSet(self.name, self.images[order], self.labels[order], self.class_names)

    def divided(self, test: int, seed: int = 0) -> tuple["ImageSet", "ImageSet"]:
        """The same images in two parts, chosen at random but the same in every run.

        Args:
            test: images in the second part.
            seed: of the choice.

        Raises:
            ValueError: there are not more images than that.
        """
        if not 0 < test < len(self.images):
            raise ValueError(f"{self.name} has {len(self.images)} images, so {test} cannot be set apart")
        order = np.random.default_rng(seed).permutation(len(self.images))
        parts = (np.sort(order[test:]), np.sort(order[:test]))
        first, second = (ImageSet(self.name, self.images[p], self.labels[p], self.class_names) for p in parts)
        return first, second


def nothing() -> ImageSet:
    """A set of one blank image, for experiments that need no images."""
    return ImageSet("none", np.zeros((1, 1, 1), np.uint8), np.zeros(1, np.int32), ("blank",))
