"""Images sorted by class, from which different images of a class are drawn."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from metaplax.data import ImageSet
from metaplax.tasks.pixels import Stored, unit_pixels


class ClassBank(eqx.Module):
    """All images of a data set on the device, so that episodes can be drawn inside compiled code.

    Args:
        data: labelled images.
        ways: number of classes that an episode will hold.
        images: number of different images that an episode will hold of each of its classes.
        allowed: labels of the classes that episodes may hold; by default all.
        replacement: whether an episode may hold a class twice.

    Raises:
        ValueError: ``allowed`` holds something else than labels of the data, or there are too few classes or images.
    """

    images: Stored
    first: Int[Array, " classes"]
    count: Int[Array, " classes"]
    labels: Int[Array, " allowed"]
    most: int = eqx.field(static=True)

    def __init__(
        self,
        data: ImageSet,
        ways: int,
        images: int,
        allowed: Sequence[int] | None = None,
        *,
        replacement: bool = False,
    ):
        counts = data.counts()
        labels = np.arange(len(counts)) if allowed is None else np.unique(np.asarray(allowed))
        if len(labels) and (labels.dtype.kind not in "iu" or not 0 <= labels.min() <= labels.max() < len(counts)):
            raise ValueError(f"{data.name} has classes 0 to {len(counts) - 1}, not all of {tuple(labels.tolist())}")
        if not len(labels) or (ways > len(labels) and not replacement):
            raise ValueError(f"{data.name} has {len(labels)} classes, too few for {ways} different ones per episode")
        rarest = labels[counts[labels].argmin()]
        if images > counts[rarest]:
            raise ValueError(
                f"episodes hold {images} different images of a class, but {data.name} has only {counts[rarest]} images"
                f" of class {data.class_names[rarest]!r}"
            )
        self.images = jnp.asarray(data.by_class().images)
        self.first = jnp.asarray(np.concatenate([[0], np.cumsum(counts)[:-1]]), jnp.int32)
        self.count = jnp.asarray(counts, jnp.int32)
        self.labels = jnp.asarray(labels, jnp.int32)
        self.most = int(counts.max())

    def rows(self, key: Key[Array, ""], label: Int[Array, ""], images: int, reserved: int = 0) -> Int[Array, " images"]:
        """Draw different images of one class, by their rows in ``images``, but none of its last ``reserved`` ones."""
        lottery = jax.random.uniform(key, (self.most,))
        lottery = jnp.where(jnp.arange(self.most) < self.count[label] - reserved, lottery, jnp.inf)
        return self.first[label] + jnp.argsort(lottery)[:images]

    def last_rows(self, label: Int[Array, ""], images: int) -> Int[Array, " images"]:
        """Rows of the last images of one class."""
        return self.first[label] + self.count[label] - images + jnp.arange(images)

    def pixels(self, rows: Int[Array, " n"]) -> Float[Array, "n ..."]:
        """Pixels in ``[0, 1]`` of the images in some rows."""
        return unit_pixels(self.images[rows])
