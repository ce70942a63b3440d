"""Images on the device, and their pixels as learners see them."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num, UInt8

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
    """Pixels in ``[0, 1]``, minus a mean and divided by a standard deviation.

    Args:
        mean: one for every channel, or a single one for all.
        std: likewise.
        data: images that it will be used for.

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
