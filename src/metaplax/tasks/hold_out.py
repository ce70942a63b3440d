"""One task: a set of images, part of which is held back."""

from collections.abc import Sequence
from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from metaplax.data import ImageSet
from metaplax.data.checks import check_choice, check_sizes
from metaplax.tasks.episode import AbstractTask, Episode, Examples
from metaplax.tasks.pixels import Standardisation, on_device

Part = Literal["validation", "test", "all"]


class HoldOut(AbstractTask):
    """Training images are divided at random into those to learn from and those held back for validation.

    Which images are held back is drawn once per trial. Pixels in ``[0, 1]`` are standardised per channel; images are
    vectors unless ``flat`` is false.

    Args:
        train: images that are divided.
        test: images that no decision may be based on.
        sizes: number of images to learn from, and number of images held back.
        part: which images are the query set: ``"validation"``, those held back; ``"test"``, the test images, with the
            same support set; or ``"all"``, the test images, with the images held back in the support set, too.
        mean: of the pixels of every channel, or a single one for all.
        std: standard deviations, likewise.
        flat: whether images are vectors.

    Raises:
        ValueError: sizes are below one or more than there are images, ``mean`` or ``std`` do not fit the channels, or
            ``train`` and ``test`` differ in classes or sizes of images.

    Source: Zucchet et al. (2022), section 5.1.
    """

    train: Examples
    test: Examples
    order: Int[Array, " train"]
    standardise: Standardisation
    sizes: tuple[int, int] = eqx.field(static=True)
    part: Part = eqx.field(static=True)
    flat: bool = eqx.field(static=True)
    outputs: int = eqx.field(static=True)

    def __init__(
        self,
        train: ImageSet,
        test: ImageSet,
        sizes: tuple[int, int],
        *,
        part: Part = "validation",
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        flat: bool = True,
    ):
        train.check_alike(test)
        learn_from, held_back = sizes
        check_sizes(learn_from=learn_from, held_back=held_back)
        check_choice("part", part, get_args(Part))
        if learn_from + held_back > len(train.images):
            raise ValueError(f"{train.name} has {len(train.images)} images, which cannot be divided into {sizes}")
        self.train, self.test = on_device(train), on_device(test)
        self.order = jnp.arange(len(train.images), dtype=jnp.int32)
        self.standardise = Standardisation(mean, std, train)
        self.sizes, self.part, self.flat = (learn_from, held_back), part, flat
        self.outputs = len(train.class_names)

    @property
    def classes(self) -> int:
        return self.outputs

    def resample(self, key: Key[Array, ""]) -> "HoldOut":
        return eqx.tree_at(lambda task: task.order, self, jax.random.permutation(key, self.order))

    def sample(self, key: Key[Array, ""]) -> Episode:
        del key
        first, both = self.sizes[0], sum(self.sizes)
        support = self._seen(self.train.take(self.order[: both if self.part == "all" else first]))
        held_back = self.train.take(self.order[first:both])
        return Episode(support, self._seen(held_back if self.part == "validation" else self.test))

    def _seen(self, images: Examples) -> Examples:
        pixels = self.standardise(images.x)
        return Examples(pixels.reshape(len(pixels), -1) if self.flat else pixels, images.y)
