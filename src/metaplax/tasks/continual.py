"""Streams of a few classes of images, or of a few functions, which come mixed or one after the other."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import Array, Float, Int, Key

from metaplax.data import ImageSet
from metaplax.data.checks import check_choice, check_sizes
from metaplax.tasks.class_bank import ClassBank
from metaplax.tasks.episode import AbstractTask, Episode, Examples

Order = Literal["iid", "continual"]

POOLS = 0x9001
"""Keeps the random keys of pools of functions apart from other keys of a trial."""


class AbstractContinualTask(AbstractTask):
    """Episodes with several parts to learn, such as classes, with equally many minibatches and queries for each.

    With ``order="continual"`` all minibatches of one part come before those of the next; with ``"iid"`` they are
    mixed. Queries are sorted by part.

    Attributes:
        order: order of the minibatches.
        parts: number of parts in an episode.
        steps_per_part: number of minibatches of each part.
        queries_per_part: number of queries of each part.
    """

    order: AbstractVar[Order]
    parts: AbstractVar[int]
    steps_per_part: AbstractVar[int]
    queries_per_part: AbstractVar[int]

    @abstractmethod
    def in_order(self, key: Key[Array, ""]) -> Episode:
        """Draw an episode with one part after the other."""

    def sample(self, key: Key[Array, ""]) -> Episode:
        episode_key, order_key = jax.random.split(key)
        episode = self.in_order(episode_key)
        if self.order == "continual":
            return episode
        order = jax.random.permutation(order_key, self.parts * self.steps_per_part)
        return Episode(jax.tree.map(lambda leaf: leaf[order], episode.support), episode.query)


class ContinualImages(AbstractContinualTask):
    """A stream of images of ``ways`` classes, one image at a time; classes are numbered anew in every episode.

    Pixels are in ``[0, 1]``.

    Args:
        data: labelled images.
        ways: classes per episode.
        shots: images of each class to learn from.
        queries: images of each class to be scored on.
        order: whether images come mixed (``"iid"``) or class by class (``"continual"``).
        reserved: number of images, the last ones of every class, that are used for queries only, while only the others
            are learned from. With 0, support and query images are different ones drawn from all images of the class.
        overlap: draw queries independently of the support images, so that an image may be both, as in the published
            code.
        labels: size of the range that the new numbers of the classes are drawn from; by default ``ways``, as in the
            published code.
        dark: invert the pixels: dark strokes on bright paper, as in the published code.
        allowed: labels of the classes that episodes may hold; by default all.

    Raises:
        ValueError: a size is too small, ``order`` is unknown, the data have too few classes or images per class,
            queries do not fit into the reserved images, or there are fewer labels than classes.

    Source: Lindsey & Litwin-Kumar (2020), code; Javed & White (2019).
    """

    bank: ClassBank
    parts: int = eqx.field(static=True)
    steps_per_part: int = eqx.field(static=True)
    queries_per_part: int = eqx.field(static=True)
    order: Order = eqx.field(static=True)
    reserved: int = eqx.field(static=True)
    overlap: bool = eqx.field(static=True)
    labels: int = eqx.field(static=True)
    dark: bool = eqx.field(static=True)

    def __init__(
        self,
        data: ImageSet,
        ways: int = 5,
        shots: int = 5,
        queries: int = 5,
        *,
        order: Order = "iid",
        reserved: int = 0,
        overlap: bool = False,
        labels: int | None = None,
        dark: bool = False,
        allowed: Sequence[int] | None = None,
    ):
        check_sizes(ways=ways, shots=shots, queries=queries)
        check_sizes(at_least=0, reserved=reserved)
        check_choice("order", order, get_args(Order))
        if reserved and (overlap or queries > reserved):
            raise ValueError(f"{queries} queries per class do not fit into {reserved} reserved images of their own")
        if labels is not None and labels < ways:
            raise ValueError(f"{ways} classes cannot be told apart by {labels} numbers")
        self.bank = ClassBank(data, ways, max(shots, queries) if overlap else shots + (reserved or queries), allowed)
        self.parts, self.steps_per_part, self.queries_per_part, self.order = ways, shots, queries, order
        self.reserved, self.overlap, self.dark = reserved, overlap, dark
        self.labels = ways if labels is None else labels

    @property
    def classes(self) -> int:
        return self.labels

    def in_order(self, key: Key[Array, ""]) -> Episode:
        class_key, number_key, *image_keys = jax.random.split(key, 2 + self.parts)
        classes = jax.random.choice(class_key, self.bank.labels, (self.parts,), replace=False)
        numbers = jax.random.permutation(number_key, self.labels)[: self.parts]
        support, query = jax.vmap(self._rows)(jnp.stack(image_keys), classes)
        seen = self._examples(support, numbers)
        return Episode(jax.tree.map(lambda leaf: leaf[:, None], seen), self._examples(query, numbers))

    def _rows(self, key: Key[Array, ""], label: Int[Array, ""]) -> tuple[Int[Array, " shots"], Int[Array, " queries"]]:
        """Rows of the support and query images of one class."""
        shots, queries = self.steps_per_part, self.queries_per_part
        if self.overlap:
            keys = jax.random.split(key)
            return self.bank.rows(keys[0], label, shots), self.bank.rows(keys[1], label, queries)
        if self.reserved:
            rows = self.bank.rows(key, label, shots, self.reserved)
            return rows, self.bank.last_rows(label, self.reserved)[:queries]
        rows = self.bank.rows(key, label, shots + queries)
        return rows[:shots], rows[shots:]

    def _examples(self, rows: Int[Array, "ways images"], numbers: Int[Array, " ways"]) -> Examples:
        pixels = self.bank.pixels(rows.ravel())
        labels = jnp.repeat(numbers, rows.shape[1]).astype(jnp.int32)
        return Examples(1 - pixels if self.dark else pixels, labels)


class Sinusoids(AbstractContinualTask):
    """``y = A sin(x + phi)`` for a few functions per episode; a one-hot vector in the input says which function.

    Amplitudes are uniform in ``[0.1, 5.1]``, phases in ``[0, pi]``, ``x`` in ``[-5, 5]``. A pool of functions is drawn
    once per trial, and every episode holds a random choice of them. Inputs are a one-hot vector of length ``slots``
    followed by ``x``, and have shape ``(slots + 1,)``; targets have shape ``(1,)``.

    Args:
        functions: functions per episode.
        minibatches: minibatches of each function to learn from.
        batch: points per minibatch.
        queries: points of each function to be scored on.
        order: whether minibatches of all functions come mixed (``"iid"``) or function by function (``"continual"``).
        pool: number of functions in the pool.
        pool_index: index of the pool; pools of different indices are drawn independently.
        slots: length of the one-hot vector; by default ``functions``.

    Raises:
        ValueError: a size is too small, ``order`` is unknown, or there are too few functions in the pool, or slots.

    Source: Lindsey & Litwin-Kumar (2020), code; Javed & White (2019).
    """

    amplitudes: Float[Array, " pool"]
    phases: Float[Array, " pool"]
    parts: int = eqx.field(static=True)
    steps_per_part: int = eqx.field(static=True)
    batch: int = eqx.field(static=True)
    queries_per_part: int = eqx.field(static=True)
    order: Order = eqx.field(static=True)
    pool_index: int = eqx.field(static=True)
    slots: int = eqx.field(static=True)

    def __init__(
        self,
        functions: int = 10,
        minibatches: int = 40,
        batch: int = 32,
        queries: int = 32,
        *,
        order: Order = "iid",
        pool: int = 400,
        pool_index: int = 0,
        slots: int | None = None,
    ):
        check_sizes(functions=functions, minibatches=minibatches, batch=batch, queries=queries)
        check_sizes(at_least=0, pool_index=pool_index)
        check_choice("order", order, get_args(Order))
        if pool < functions:
            raise ValueError(f"a pool of {pool} functions is too small for {functions} different ones per episode")
        self.parts, self.steps_per_part, self.queries_per_part = functions, minibatches, queries
        self.batch, self.order, self.pool_index = batch, order, pool_index
        self.slots = functions if slots is None else slots
        if self.slots < functions:
            raise ValueError(f"{functions} functions do not fit into {self.slots} slots")
        self.amplitudes, self.phases = _curves(jax.random.key(pool_index), pool)

    def resample(self, key: Key[Array, ""]) -> "Sinusoids":
        pool = _curves(jax.random.fold_in(jax.random.fold_in(key, POOLS), self.pool_index), len(self.phases))
        return eqx.tree_at(lambda task: (task.amplitudes, task.phases), self, pool)

    def in_order(self, key: Key[Array, ""]) -> Episode:
        choice_key, support_key, query_key = jax.random.split(key, 3)
        chosen = jax.random.choice(choice_key, len(self.phases), (self.parts,), replace=False)
        support = self._points(support_key, chosen, self.steps_per_part * self.batch)
        query = self._points(query_key, chosen, self.queries_per_part)
        stream = jax.tree.map(lambda leaf: leaf.reshape(-1, self.batch, leaf.shape[-1]), support)
        return Episode(stream, jax.tree.map(lambda leaf: leaf.reshape(-1, leaf.shape[-1]), query))

    def _points(self, key: Key[Array, ""], chosen: Int[Array, " functions"], count: int) -> Examples:
        """``count`` points of every function, with leading axes of functions and points."""
        x = jax.random.uniform(key, (self.parts, count), minval=-5.0, maxval=5.0)
        y = self.amplitudes[chosen][:, None] * jnp.sin(x + self.phases[chosen][:, None])
        slots = jnp.eye(self.parts, self.slots, dtype=x.dtype)[:, None]
        slots = jnp.broadcast_to(slots, (self.parts, count, self.slots))
        return Examples(jnp.concatenate([slots, x[..., None]], axis=-1), y[..., None])


def _curves(key: Key[Array, ""], pool: int) -> tuple[Float[Array, " pool"], Float[Array, " pool"]]:
    amplitude_key, phase_key = jax.random.split(key)
    amplitudes = jax.random.uniform(amplitude_key, (pool,), minval=0.1, maxval=5.1)
    return amplitudes, jax.random.uniform(phase_key, (pool,), maxval=jnp.pi)
