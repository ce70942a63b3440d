"""One task: a table, part of which is held back."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, Num

from metaplax.tasks.episode import AbstractTask, Episode, Examples


class Table(AbstractTask):
    """Rows of a table are divided at random into halves: one is learned from, the other is held back.

    The division is drawn once per trial.

    Args:
        x: features.
        y: targets: class labels, or rows of numbers.
        outputs: how many classes there are; ``None`` if targets are numbers.
    """

    x: Float[Array, "rows features"]
    y: Num[Array, "rows ..."]
    order: Int[Array, " rows"]
    outputs: int | None = eqx.field(static=True, default=None)

    def __init__(self, x: Float[Array, "rows features"], y: Num[Array, "rows ..."], outputs: int | None = None):
        self.x, self.y, self.outputs = x, y, outputs
        self.order = jnp.arange(len(x))

    @property
    def classes(self) -> int | None:
        return self.outputs

    def resample(self, key: Key[Array, ""]) -> "Table":
        return eqx.tree_at(lambda task: task.order, self, jax.random.permutation(key, self.order))

    def sample(self, key: Key[Array, ""]) -> Episode:
        del key
        half = len(self.order) // 2
        parts = (self.order[:half], self.order[half : 2 * half])
        return Episode(*(Examples(self.x[rows], self.y[rows]) for rows in parts))
