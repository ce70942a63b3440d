"""Few-shot classification: a few classes, a few images of each, all at once."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from metaplax.data import ImageSet
from metaplax.tasks.class_bank import ClassBank
from metaplax.tasks.episode import AbstractTask, Episode, Examples


class FewShot(AbstractTask):
    """``ways`` classes, numbered anew in every episode; ``shots`` images of each to learn from, and further ones.

    Support and query images of an episode are different ones, sorted by class. Pixels are divided by 255 and
    standardised per channel; inputs have shape ``(side, side, channels)``.

    Args:
        data: labelled images.
        ways: classes per episode (N).
        shots: support images per class (K).
        queries: query images per class.
        rotations: count images turned by 90, 180 and 270 degrees as further classes, each turn of a class as one.
        allowed: labels of the classes that episodes may hold; by default all.
        mean: of every channel, after division by 255.
        std: likewise.

    Raises:
        ValueError: a number is below one, the data have too few classes or images per class, or images that are not
            square are to be turned.

    Source: Vinyals et al. (2016); Santoro et al. (2016) for the turns; Zucchet et al. (2022), section 5.3.
    """

    bank: ClassBank
    ways: int = eqx.field(static=True)
    shots: int = eqx.field(static=True)
    queries: int = eqx.field(static=True)
    rotations: bool = eqx.field(static=True)
    mean: tuple[float, ...] = eqx.field(static=True)
    std: tuple[float, ...] = eqx.field(static=True)

    def __init__(
        self,
        data: ImageSet,
        ways: int = 5,
        shots: int = 1,
        queries: int = 15,
        *,
        rotations: bool = False,
        allowed: Sequence[int] | None = None,
        mean: tuple[float, ...] = (0.0,),
        std: tuple[float, ...] = (1.0,),
    ):
        for name, value in (("ways", ways), ("shots", shots), ("queries", queries)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        height, width = data.images.shape[1:3]
        if rotations and height != width:
            raise ValueError(f"images of {height}x{width} pixels have another shape when they are turned")
        self.bank = ClassBank(data, allowed)
        self.bank.require(data, -(-ways // 4) if rotations else ways, shots + queries)
        self.ways, self.shots, self.queries, self.rotations = ways, shots, queries, rotations
        self.mean, self.std = mean, std

    @property
    def classes(self) -> int:
        return self.ways

    def sample(self, key: Key[Array, ""]) -> Episode:
        class_key, *image_keys = jax.random.split(key, 1 + self.ways)
        count = len(self.bank.labels)
        # Which class, and how it is turned: numbers of the same class are ``count`` apart.
        numbers = jax.random.choice(class_key, (4 if self.rotations else 1) * count, (self.ways,), replace=False)
        drawn = [self._images(k, numbers[way]) for way, k in enumerate(image_keys)]
        images = jnp.stack(drawn)
        return Episode(self._examples(images[:, : self.shots]), self._examples(images[:, self.shots :]))

    def _images(self, key: Key[Array, ""], number: Int[Array, ""]) -> Float[Array, "images side side channels"]:
        """Images of one class, turned."""
        count = len(self.bank.labels)
        pixels = self.bank.pixels(self.bank.rows(key, self.bank.labels[number % count], self.shots + self.queries))
        pixels = pixels if pixels.ndim == 4 else pixels[..., None]
        if self.rotations:
            turns = jnp.stack([jnp.rot90(pixels, quarter, (1, 2)) for quarter in range(4)])
            pixels = turns[number // count]
        mean, std = (jnp.asarray(numbers, pixels.dtype)[None, None, None] for numbers in (self.mean, self.std))
        return (pixels - mean) / std

    def _examples(self, images: Float[Array, "ways images side side channels"]) -> Examples:
        labels = jnp.repeat(jnp.arange(self.ways, dtype=jnp.int32), images.shape[1])
        return Examples(images.reshape(-1, *images.shape[2:]), labels)
