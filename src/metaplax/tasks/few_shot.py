"""Few-shot classification: a few classes, a few images of each, all at once."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from metaplax.data import ImageSet
from metaplax.data.checks import check_sizes
from metaplax.tasks.class_bank import ClassBank, Standardisation
from metaplax.tasks.episode import AbstractTask, Episode, Examples


class FewShot(AbstractTask):
    """``ways`` classes, numbered anew in every episode; ``shots`` images of each to learn from, ``queries`` other ones.

    Images are sorted by class. Pixels in ``[0, 1]`` are standardised per channel; inputs have shape
    ``(height, width, channels)``.

    Args:
        data: labelled images.
        ways: classes per episode (N).
        shots: support images per class (K).
        queries: query images per class.
        rotations: take images turned by 90, 180 and 270 degrees as further classes, four for each class of the data.
        allowed: labels of the classes that episodes may hold; by default all.
        mean: of the pixels of every channel, or a single one for all.
        std: standard deviations, likewise.

    Raises:
        ValueError: a size is below one, the data have too few classes or images per class, ``mean`` or ``std`` do not
            fit the channels, or images that are not square are to be turned.

    Source: Vinyals et al. (2016); Santoro et al. (2016) for the rotations; Zucchet et al. (2022), section 5.3.
    """

    bank: ClassBank
    standardise: Standardisation
    ways: int = eqx.field(static=True)
    shots: int = eqx.field(static=True)
    queries: int = eqx.field(static=True)
    rotations: bool = eqx.field(static=True)

    def __init__(
        self,
        data: ImageSet,
        ways: int = 5,
        shots: int = 1,
        queries: int = 15,
        *,
        rotations: bool = False,
        allowed: Sequence[int] | None = None,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
    ):
        check_sizes(ways=ways, shots=shots, queries=queries)
        height, width = data.images.shape[1:3]
        if rotations and height != width:
            raise ValueError(f"images of {height}x{width} pixels have another shape when they are turned")
        self.bank = ClassBank(data, -(-ways // 4) if rotations else ways, shots + queries, allowed)
        self.standardise = Standardisation(mean, std, data)
        self.ways, self.shots, self.queries, self.rotations = ways, shots, queries, rotations

    @property
    def classes(self) -> int:
        return self.ways

    def sample(self, key: Key[Array, ""]) -> Episode:
        class_key, *image_keys = jax.random.split(key, 1 + self.ways)
        count = len(self.bank.labels)
        # Number n is class n % count, turned by n // count quarters.
        numbers = jax.random.choice(class_key, (4 if self.rotations else 1) * count, (self.ways,), replace=False)
        images = jnp.stack([self._images(k, numbers[way]) for way, k in enumerate(image_keys)])
        return Episode(self._examples(images[:, : self.shots]), self._examples(images[:, self.shots :]))

    def _images(self, key: Key[Array, ""], number: Int[Array, ""]) -> Float[Array, "images height width channels"]:
        """Images of one class, turned."""
        count = len(self.bank.labels)
        rows = self.bank.rows(key, self.bank.labels[number % count], self.shots + self.queries)
        pixels = self.standardise(self.bank.images[rows])
        if self.rotations:
            turns = jnp.stack([jnp.rot90(pixels, quarter, (1, 2)) for quarter in range(4)])
            pixels = turns[number // count]
        return pixels

    def _examples(self, images: Float[Array, "ways images height width channels"]) -> Examples:
        labels = jnp.repeat(jnp.arange(self.ways, dtype=jnp.int32), images.shape[1])
        return Examples(images.reshape(-1, *images.shape[2:]), labels)
