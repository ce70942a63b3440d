"""One task: a set of images, part of which is held back."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, UInt8

from metaplax.data import ImageSet
from metaplax.tasks.episode import AbstractTask, Episode, Examples

Part = Literal["validation", "test", "all"]


class HoldOut(AbstractTask):
    """Training images are divided at random into those that are learned from and those held back for validation.

    The division is drawn once per trial. Pixels are divided by 255 and standardised per channel; images are flattened
    unless ``flat`` is false.

    Args:
        train: images that are divided.
        test: images that nothing is decided on.
        sizes: how many images to learn from, and how many to hold back.
        part: what the query set is: ``"validation"``; ``"test"``, the test images, with the same support set; or
            ``"all"``, the test images, with both parts of the division in the support set.
        mean: of every channel, after division by 255.
        std: likewise.
        flat: whether images are vectors.

    Raises:
        ValueError: sizes are below one or more than there are images, or train and test do not fit together.

    Source: Zucchet et al. (2022), section 5.1.
    """

    images: UInt8[Array, "train height width channels"]
    labels: Int[Array, " train"]
    test_images: UInt8[Array, "test height width channels"]
    test_labels: Int[Array, " test"]
    order: Int[Array, " train"]
    sizes: tuple[int, int] = eqx.field(static=True)
    part: Part = eqx.field(static=True)
    mean: tuple[float, ...] = eqx.field(static=True)
    std: tuple[float, ...] = eqx.field(static=True)
    flat: bool = eqx.field(static=True)
    outputs: int = eqx.field(static=True)

    def __init__(
        self,
        train: ImageSet,
        test: ImageSet,
        sizes: tuple[int, int],
        *,
        part: Part = "validation",
        mean: tuple[float, ...] = (0.0,),
        std: tuple[float, ...] = (1.0,),
        flat: bool = True,
    ):
        if train.class_names != test.class_names or train.images.shape[1:] != test.images.shape[1:]:
            raise ValueError(f"{train.name} and {test.name} do not have the same classes and image sizes")
        if min(sizes) < 1 or sum(sizes) > len(train.images):
            raise ValueError(f"{train.name} has {len(train.images)} images, which cannot be divided into {sizes}")
        self.images, self.labels = _with_channels(train)
        self.test_images, self.test_labels = _with_channels(test)
        self.order = jnp.arange(len(train.images), dtype=jnp.int32)
        self.sizes, self.part, self.flat = sizes, part, flat
        self.mean, self.std, self.outputs = mean, std, len(train.class_names)

    @property
    def classes(self) -> int:
        return self.outputs

    def resample(self, key: Key[Array, ""]) -> "HoldOut":
        order = jax.random.permutation(key, self.order)
        return eqx.tree_at(lambda task: task.order, self, order)

    def sample(self, key: Key[Array, ""]) -> Episode:
        del key
        first, second = self.sizes
        test = Examples(self._pixels(self.test_images), self.test_labels)
        if self.part == "all":
            return Episode(self._rows(self.order[: first + second]), test)
        support = self._rows(self.order[:first])
        return Episode(support, test if self.part == "test" else self._rows(self.order[first : first + second]))

    def _rows(self, rows: Int[Array, " n"]) -> Examples:
        return Examples(self._pixels(self.images[rows]), self.labels[rows])

    def _pixels(self, images: UInt8[Array, "n height width channels"]) -> Float[Array, "n ..."]:
        dtype = jnp.result_type(float)
        mean, std = (jnp.asarray(numbers, dtype)[None, None, None] for numbers in (self.mean, self.std))
        pixels = (images.astype(dtype) / 255 - mean) / std
        return pixels.reshape(len(images), -1) if self.flat else pixels


def _with_channels(data: ImageSet) -> tuple[UInt8[Array, "n height width channels"], Int[Array, " n"]]:
    images = data.images if data.images.ndim == 4 else data.images[..., None]
    return jnp.asarray(images), jnp.asarray(data.labels, jnp.int32)
