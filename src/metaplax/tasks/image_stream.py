"""One long stream of labelled images, and others to be scored on."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, UInt8

from metaplax.data import ImageSet
from metaplax.tasks.episode import Examples


class ImageStream(eqx.Module):
    """All images in random order, each once, and a random subset of others that stays the same along the stream.

    Pixels are in ``[0, 1]``.

    Args:
        train: images that are streamed.
        test: images to be scored on; of the same classes.
        queries: how many of them.

    Raises:
        ValueError: sizes or classes differ, or there are fewer than ``queries`` test images.
    """

    images: UInt8[Array, "train pixels"]
    labels: Int[Array, " train"]
    test_images: UInt8[Array, "test pixels"]
    test_labels: Int[Array, " test"]
    queries: int = eqx.field(static=True)
    classes: int = eqx.field(static=True)

    def __init__(self, train: ImageSet, test: ImageSet, queries: int = 1000):
        if train.class_names != test.class_names or train.images.shape[1:] != test.images.shape[1:]:
            raise ValueError(f"{train.name} and {test.name} do not have the same classes and image sizes")
        if not 1 <= queries <= len(test.images):
            raise ValueError(f"{queries} images to be scored on were asked for, but there are {len(test.images)}")
        self.images, self.labels = _flat(train)
        self.test_images, self.test_labels = _flat(test)
        self.queries, self.classes = queries, len(train.class_names)

    def order(self, key: Key[Array, ""]) -> Int[Array, " train"]:
        """An order in which to stream the images."""
        return jax.random.permutation(key, len(self.images))

    def piece(self, order: Int[Array, " train"], first: Int[Array, ""] | int, length: int) -> Examples:
        """``length`` images of the stream in this order, from number ``first`` on."""
        rows = jax.lax.dynamic_slice_in_dim(order, first, length)
        return _examples(self.images[rows], self.labels[rows])

    def query(self, key: Key[Array, ""]) -> Examples:
        """The images to be scored on."""
        rows = jax.random.permutation(key, len(self.test_images))[: self.queries]
        return _examples(self.test_images[rows], self.test_labels[rows])


def _flat(data: ImageSet) -> tuple[UInt8[Array, "n pixels"], Int[Array, " n"]]:
    return jnp.asarray(data.images.reshape(len(data.images), -1)), jnp.asarray(data.labels, jnp.int32)


def _examples(images: UInt8[Array, "n pixels"], labels: Int[Array, " n"]) -> Examples:
    return Examples(images.astype(jnp.result_type(float)) / 255, labels)
