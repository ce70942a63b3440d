"""One long stream of labelled images, and further images to be scored on."""

import equinox as eqx
import jax
from jaxtyping import Array, Int, Key

from metaplax.data import ImageSet
from metaplax.data.checks import check_sizes
from metaplax.tasks.class_bank import on_device, unit_pixels
from metaplax.tasks.episode import Examples


class ImageStream(eqx.Module):
    """All training images in random order, each once; a random subset of the test images is scored along the stream.

    Pixels are in ``[0, 1]``, and images are vectors.

    Args:
        train: images of the stream.
        test: images to be scored on, of the same classes.
        queries: number of images in the subset of them.

    Raises:
        ValueError: sizes or classes differ, or there are fewer than ``queries`` test images.
    """

    train: Examples
    test: Examples
    queries: int = eqx.field(static=True)
    classes: int = eqx.field(static=True)

    def __init__(self, train: ImageSet, test: ImageSet, queries: int = 1000):
        train.check_alike(test)
        check_sizes(queries=queries)
        if queries > len(test.images):
            raise ValueError(f"{queries} images to be scored on were asked for, but there are {len(test.images)}")
        self.train, self.test = on_device(train), on_device(test)
        self.queries, self.classes = queries, len(train.class_names)

    def order(self, key: Key[Array, ""]) -> Int[Array, " train"]:
        """Draw an order of the training images."""
        return jax.random.permutation(key, len(self.train.x))

    def piece(self, order: Int[Array, " train"], first: Int[Array, ""] | int, length: int) -> Examples:
        """``length`` images of the stream in this order, from number ``first`` on; all must lie within the stream."""
        return _seen(self.train.take(jax.lax.dynamic_slice_in_dim(order, first, length)))

    def query(self, key: Key[Array, ""]) -> Examples:
        """Draw the images to be scored on."""
        return _seen(self.test.take(jax.random.permutation(key, len(self.test.x))[: self.queries]))


def _seen(images: Examples) -> Examples:
    return Examples(unit_pixels(images.x).reshape(len(images.x), -1), images.y)
