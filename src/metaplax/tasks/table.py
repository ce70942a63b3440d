"""One task: the rows of a table, half of which are held back."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, Num

from metaplax.data.checks import check_sizes
from metaplax.data.images import ArrayLike
from metaplax.tasks.episode import AbstractTask, Episode, Examples


class Table(AbstractTask):
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
        for name, array in (("x", features), ("y", targets)):
            if array.dtype.kind not in "biuf" or not np.all(np.isfinite(array)):
                raise ValueError(f"{name} of dtype {array.dtype} holds something else than finite numbers")
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

    def resample(self, key: Key[Array, ""]) -> "Table":
        return eqx.tree_at(lambda task: task.order, self, jax.random.permutation(key, self.order))

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
