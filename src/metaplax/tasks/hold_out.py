"""One task: a set of images or the rows of a table, divided at random into those to learn from and those held back."""

from collections.abc import Sequence
from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from equinox import AbstractVar
from jaxtyping import Array, Float, Int, Key, Num

from metaplax.data import ImageSet
from metaplax.data.checks import check_choice, check_finite, check_sizes
from metaplax.data.images import ArrayLike
from metaplax.tasks.class_bank import Standardisation, on_device
from metaplax.tasks.episode import AbstractTask, Episode, Examples

Part = Literal["validation", "test", "all"]


class AbstractDivided(AbstractTask):
    """One task, whose examples are divided anew for every trial: the first ones in ``order`` are learned from."""

    order: AbstractVar[Int[Array, " examples"]]

    def resample(self, key: Key[Array, ""]) -> "AbstractDivided":
        return eqx.tree_at(lambda task: task.order, self, jax.random.permutation(key, self.order))


class HoldOut(AbstractDivided):
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

    def sample(self, key: Key[Array, ""]) -> Episode:
        del key
        first, both = self.sizes[0], sum(self.sizes)
        support = self._seen(self.train.take(self.order[: both if self.part == "all" else first]))
        held_back = self.train.take(self.order[first:both])
        return Episode(support, self._seen(held_back if self.part == "validation" else self.test))

    def _seen(self, images: Examples) -> Examples:
        pixels = self.standardise(images.x)
        return Examples(pixels.reshape(len(pixels), -1) if self.flat else pixels, images.y)


class Table(AbstractDivided):
    """The rows of a table are divided at random into those to learn from and those held back.

    Which rows are held back is drawn once per trial. Of an odd number of rows, one more is held back than learned from.

    Args:
        x: features, finite numbers of shape ``(rows, features)``.
        y: targets: class labels, integers of shape ``(rows,)`` from 0 to ``outputs - 1``, or finite floating-point
            numbers of shape ``(rows, outputs)``.
        outputs: number of classes; ``None`` if targets are floating-point numbers.

    Raises:
        ValueError: shapes, dtypes or values are not as above, or there are fewer than two rows.
    """

    x: Float[Array, "rows features"]
    y: Num[Array, "rows ..."]
    order: Int[Array, " rows"]
    outputs: int | None = eqx.field(static=True, default=None)

    def __init__(self, x: ArrayLike, y: ArrayLike, outputs: int | None = None):
        features, targets = np.asarray(x), np.asarray(y)
        check_finite("x", features)
        check_finite("y", targets)
        if features.ndim != 2 or len(features) < 2:
            raise ValueError(f"x must have shape (rows, features) with at least two rows, not {features.shape}")
        if targets.shape[:1] != features.shape[:1]:
            raise ValueError(f"x has {len(features)} rows, but y has shape {targets.shape}")
        if outputs is None:
            _check_numbers(targets)
        else:
            _check_labels(targets, outputs)
        self.x = jnp.asarray(features, jnp.result_type(float))
        self.y = jnp.asarray(targets, jnp.result_type(float) if outputs is None else jnp.int32)
        self.order, self.outputs = jnp.arange(len(features)), outputs

    @property
    def classes(self) -> int | None:
        return self.outputs

    def sample(self, key: Key[Array, ""]) -> Episode:
        del key
        half, rows = len(self.order) // 2, Examples(self.x, self.y)
        return Episode(rows.take(self.order[:half]), rows.take(self.order[half:]))


def _check_numbers(y: np.ndarray) -> None:
    if y.dtype.kind != "f":
        raise ValueError(
            f"y of dtype {y.dtype} may be classes or numbers: give outputs, the number of classes, or convert y to"
            f" floating-point numbers"
        )
    if y.ndim == 1:
        raise ValueError(f"y must have shape (rows, outputs), not {y.shape}: reshape it to ({len(y)}, 1)")


def _check_labels(y: np.ndarray, outputs: int) -> None:
    check_sizes(outputs=outputs)
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise ValueError(f"labels y must be integers of shape (rows,), not {y.dtype} of shape {y.shape}")
    if not 0 <= y.min() <= y.max() < outputs:
        raise ValueError(f"labels y must be from 0 to {outputs - 1}, but range from {y.min()} to {y.max()}")
