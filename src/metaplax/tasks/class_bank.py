"""Images sorted by class, from which different ones of a class are drawn."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8

from metaplax.data import ImageSet


class ClassBank(eqx.Module):
    """All images of a data set on the device, so that episodes can be drawn inside compiled code.

    Args:
        data: labelled images.
        allowed: labels of the classes that episodes may hold; by default all.

    Raises:
        ValueError: a label is none of the data's.
    """

    images: UInt8[Array, "N ..."]
    first: Int[Array, " classes"]
    count: Int[Array, " classes"]
    labels: Int[Array, " allowed"]
    most: int = eqx.field(static=True)
    fewest: int = eqx.field(static=True)

    def __init__(self, data: ImageSet, allowed: Sequence[int] | None = None):
        counts = data.counts()
        labels = np.arange(len(counts)) if allowed is None else np.unique(np.asarray(allowed, int))
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(counts):
            raise ValueError(f"{data.name} has classes 0 to {len(counts) - 1}, not all of {tuple(labels.tolist())}")
        self.images = jnp.asarray(data.by_class().images)
        self.first = jnp.asarray(np.concatenate([[0], np.cumsum(counts)[:-1]]), jnp.int32)
        self.count = jnp.asarray(counts, jnp.int32)
        self.labels = jnp.asarray(labels, jnp.int32)
        self.most = int(counts.max())
        self.fewest = int(counts[labels].min()) if len(labels) else 0

    def require(self, data: ImageSet, ways: int, images: int, *, replacement: bool = False) -> None:
        """Refuse data that cannot fill an episode.

        Args:
            data: the images this was made of.
            ways: different classes per episode.
            images: different images per class.
            replacement: whether an episode may hold a class twice.

        Raises:
            ValueError: one sentence saying what is missing.
        """
        labels = np.asarray(self.labels)
        if not len(labels) or (ways > len(labels) and not replacement):
            raise ValueError(f"{data.name} has {len(labels)} classes, too few for {ways} different ones per episode")
        if images > self.fewest:
            rarest = labels[data.counts()[labels].argmin()]
            raise ValueError(
                f"shots + queries = {images}, but {data.name} has only {self.fewest} images of class"
                f" {data.class_names[rarest]!r}"
            )

    def classes(self, key: Key[Array, ""], ways: int, *, replacement: bool = False) -> Int[Array, " ways"]:
        """Draw classes."""
        return jax.random.choice(key, self.labels, (ways,), replace=replacement)

    def rows(self, key: Key[Array, ""], label: Int[Array, ""], images: int, reserved: int = 0) -> Int[Array, " images"]:
        """Draw different images of one class, by their rows in ``images``; not of its last ``reserved`` ones."""
        lottery = jax.random.uniform(key, (self.most,))
        lottery = jnp.where(jnp.arange(self.most) < self.count[label] - reserved, lottery, jnp.inf)
        return self.first[label] + jnp.argsort(lottery)[:images]

    def last_rows(self, label: Int[Array, ""], images: int) -> Int[Array, " images"]:
        """The last images of one class."""
        return self.first[label] + self.count[label] - images + jnp.arange(images)

    def pixels(self, rows: Int[Array, " n"]) -> Float[Array, "n ..."]:
        """Images in ``[0, 1]``."""
        return self.images[rows].astype(jnp.result_type(float)) / 255
