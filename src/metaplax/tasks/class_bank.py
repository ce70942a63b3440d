"""Images on the device: their pixels as learners see them, and draws of different images of a class."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, Num, UInt8

from metaplax.data import ImageSet
from metaplax.tasks.episode import Examples

Stored = UInt8[Array, "n height width *colours"] | Float[Array, "n height width *colours"]


def on_device(data: ImageSet) -> Examples:
    """Images as they are stored, bytes or floating-point numbers, with an axis of channels; and their labels."""
    return Examples(with_channels(jnp.asarray(data.images)), jnp.asarray(data.labels))


def with_channels(images: Stored) -> Num[Array, "n height width channels"]:
    """The images with a last axis of channels: one for shades of grey, three for colours."""
    return images if images.ndim == 4 else images[..., None]


def unit_pixels(images: Stored) -> Float[Array, "n height width *colours"]:
    """Pixels in ``[0, 1]``: bytes are divided by 255, floating-point numbers are in that range."""
    pixels = images.astype(jnp.result_type(float))
    return pixels / 255 if images.dtype == jnp.uint8 else pixels


class Standardisation(eqx.Module):
    """Pixels in ``[0, 1]``, minus a mean and divided by a standard deviation: one per channel, or a single one for all.

    Raises:
        ValueError: there are more or fewer numbers than channels, or they are not finite, or ``std`` not positive.
    """

    mean: tuple[float, ...] = eqx.field(static=True)
    std: tuple[float, ...] = eqx.field(static=True)

    def __init__(self, mean: Sequence[float], std: Sequence[float], data: ImageSet):
        channels = (data.images.shape[3:] or (1,))[0]
        for name, numbers in (("mean", mean), ("std", std)):
            if len(numbers) not in (1, channels) or not np.all(np.isfinite(numbers)):
                raise ValueError(f"{name} must be {channels} finite numbers, one per channel, not {numbers}")
        if min(std) <= 0:
            raise ValueError(f"std must be positive, not {std}")
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))

    def __call__(self, images: Stored) -> Float[Array, "n height width channels"]:
        """Standardised pixels of some images as they are stored; shades of grey get one channel."""
        pixels = unit_pixels(with_channels(images))
        mean, std = (jnp.asarray(numbers, pixels.dtype)[None, None, None] for numbers in (self.mean, self.std))
        return (pixels - mean) / std


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
