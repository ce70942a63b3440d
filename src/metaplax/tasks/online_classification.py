"""Online classification: a few classes, one pass over their images in random order."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from metaplax.data import ImageSet
from metaplax.data.checks import check_sizes
from metaplax.tasks.class_bank import ClassBank
from metaplax.tasks.episode import AbstractTask, Episode, Examples


class OnlineClassification(AbstractTask):
    """``ways`` classes, ``shots`` images of each to learn from, ``queries`` further images of each to be scored on.

    Labels keep their meaning over episodes (they are not renumbered), support images come one by one in
    random order, and pixels are in ``[0, 1]``.

    Args:
        data: labelled images.
        ways: classes per episode (M).
        shots: support images per class (K).
        queries: query images per class (Q).
        replacement: draw classes with replacement, so that an episode may hold one twice, as the
            published code does.
        allowed: labels of the classes that episodes may hold; by default all.
        fixed_images: use the first ``shots + queries`` images of a class in every episode, as the published
            code does, instead of fresh ones.

    Raises:
        ValueError: a size is below one, or the data have too few classes or images per class.

    Source: Shervani-Tabar & Rosenbaum (2023), Algorithm 1.
    """

    bank: ClassBank
    ways: int = eqx.field(static=True)
    shots: int = eqx.field(static=True)
    queries: int = eqx.field(static=True)
    replacement: bool = eqx.field(static=True)
    fixed_images: bool = eqx.field(static=True)

    def __init__(
        self,
        data: ImageSet,
        ways: int = 5,
        shots: int = 50,
        queries: int = 10,
        *,
        replacement: bool = False,
        fixed_images: bool = False,
        allowed: Sequence[int] | None = None,
    ):
        check_sizes(ways=ways, shots=shots, queries=queries)
        self.bank = ClassBank(data, ways, shots + queries, allowed, replacement=replacement)
        self.ways, self.shots, self.queries = ways, shots, queries
        self.replacement, self.fixed_images = replacement, fixed_images

    @property
    def classes(self) -> int:
        return len(self.bank.first)

    def sample(self, key: Key[Array, ""]) -> Episode:
        class_key, image_key, order_key = jax.random.split(key, 3)
        classes = jax.random.choice(class_key, self.bank.labels, (self.ways,), replace=self.replacement)
        rows = jax.vmap(self._draw)(classes, jax.random.split(image_key, self.ways))
        support, query = rows[:, : self.shots], rows[:, self.shots :]
        order = jax.random.permutation(order_key, self.ways * self.shots)
        return Episode(
            self._examples(support.ravel()[order], jnp.repeat(classes, self.shots)[order]),
            self._examples(query.ravel(), jnp.repeat(classes, self.queries)),
        )

    def _draw(self, label: Int[Array, ""], key: Key[Array, ""]) -> Int[Array, " images"]:
        """Rows of ``shots + queries`` different images of one class."""
        needed = self.shots + self.queries
        if self.fixed_images:
            return self.bank.first[label] + jnp.arange(needed)
        return self.bank.rows(key, label, needed)

    def _examples(self, rows: Int[Array, " n"], labels: Int[Array, " n"]) -> Examples:
        return Examples(self.bank.pixels(rows).reshape(len(rows), -1), labels.astype(jnp.int32))
