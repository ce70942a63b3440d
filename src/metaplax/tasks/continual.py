"""Streams of a few new things each: classes of images, or functions, mixed or one after the other."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import Array, Float, Int, Key

from metaplax.data import ImageSet
from metaplax.tasks.class_bank import ClassBank
from metaplax.tasks.episode import AbstractTask, Episode, Examples

Order = Literal["iid", "continual"]

POOLS = 0x9001
"""Sets the keys of pools of functions apart from others of a trial."""


class AbstractContinualTask(AbstractTask):
    """Episodes made of ``parts`` things to learn, with equally many minibatches and queries each.

    With ``order="continual"`` all minibatches of one part are seen before those of the next; with ``"iid"`` they are
    mixed. Queries are sorted by part.
    """

    order: AbstractVar[Order]

    @property
    @abstractmethod
    def parts(self) -> int:
        """How many things there are to learn."""

    @property
    @abstractmethod
    def steps_per_part(self) -> int:
        """Minibatches of each part."""

    @property
    @abstractmethod
    def queries_per_part(self) -> int:
        """Queries of each part."""

    @abstractmethod
    def in_order(self, key: Key[Array, ""]) -> Episode:
        """An episode with one part after the other."""

    def sample(self, key: Key[Array, ""]) -> Episode:
        episode_key, order_key = jax.random.split(key)
        episode = self.in_order(episode_key)
        if self.order == "continual":
            return episode
        order = jax.random.permutation(order_key, self.parts * self.steps_per_part)
        return Episode(jax.tree.map(lambda leaf: leaf[order], episode.support), episode.query)


class ContinualImages(AbstractContinualTask):
    """A stream of images of ``ways`` classes, one image at a time; classes are numbered anew in every episode.

    Args:
        data: labelled images.
        ways: classes per episode.
        shots: images of each to learn from.
        queries: images of each to be scored on.
        order: mixed, or class by class.
        reserved: if any, the last so many images of a class are for queries only, and the others for learning only;
            otherwise both are drawn from all images of the class.
        overlap: draw the queries without regard to what is learned from, so that an image may be both, as in the
            published code.
        labels: how many numbers there are for classes to draw theirs from; by default as many as classes in an episode,
            as in the published code.
        dark: bright paper and dark strokes, as in the published code.
        allowed: labels of the classes that episodes may hold; by default all.

    Raises:
        ValueError: a number is below one, the data have too few classes or images per class, queries do not fit into
            the reserved images, or there are fewer labels than classes.

    Source: Lindsey & Litwin-Kumar (2020), code; Javed & White (2019).
    """

    bank: ClassBank
    ways: int = eqx.field(static=True)
    shots: int = eqx.field(static=True)
    queries: int = eqx.field(static=True)
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
        for name, value in (("ways", ways), ("shots", shots), ("queries", queries)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if reserved and (overlap or queries > reserved):
            raise ValueError(f"{queries} queries per class do not fit into {reserved} reserved images of their own")
        if labels is not None and labels < ways:
            raise ValueError(f"{ways} classes cannot be told apart by {labels} numbers")
        self.bank = ClassBank(data, allowed)
        needed = max(shots, queries) if overlap else shots + (reserved or queries)
        self.bank.require(data, ways, needed)
        self.ways, self.shots, self.queries, self.order = ways, shots, queries, order
        self.reserved, self.overlap, self.dark = reserved, overlap, dark
        self.labels = ways if labels is None else labels

    @property
    def parts(self) -> int:
        return self.ways

    @property
    def steps_per_part(self) -> int:
        return self.shots

    @property
    def queries_per_part(self) -> int:
        return self.queries

    @property
    def classes(self) -> int:
        return self.labels

    def in_order(self, key: Key[Array, ""]) -> Episode:
        class_key, number_key, *image_keys = jax.random.split(key, 2 + self.ways)
        classes = self.bank.classes(class_key, self.ways)
        numbers = jax.random.permutation(number_key, self.labels)[: self.ways]
        support, query = jax.vmap(self._rows)(jnp.stack(image_keys), classes)
        seen = self._examples(support, numbers)
        return Episode(jax.tree.map(lambda leaf: leaf[:, None], seen), self._examples(query, numbers))

    def _rows(self, key: Key[Array, ""], label: Int[Array, ""]) -> tuple[Int[Array, " shots"], Int[Array, " queries"]]:
        """Images of one class to learn from, and to be scored on."""
        if self.overlap:
            keys = jax.random.split(key)
            return self.bank.rows(keys[0], label, self.shots), self.bank.rows(keys[1], label, self.queries)
        if self.reserved:
            rows = self.bank.rows(key, label, self.shots, self.reserved)
            return rows, self.bank.last_rows(label, self.reserved)[: self.queries]
        rows = self.bank.rows(key, label, self.shots + self.queries)
        return rows[: self.shots], rows[self.shots :]

    def _examples(self, rows: Int[Array, "ways images"], numbers: Int[Array, " ways"]) -> Examples:
        pixels = self.bank.pixels(rows.ravel())
        labels = jnp.repeat(numbers, rows.shape[1]).astype(jnp.int32)
        return Examples(1 - pixels if self.dark else pixels, labels)


class Sinusoids(AbstractContinualTask):
    """``y = A sin(x + phi)`` for a few functions per episode, each named by a one-hot slot of the input.

    Amplitudes are uniform in ``[0.1, 5.1]``, phases in ``[0, pi]``, ``x`` in ``[-5, 5]``. A pool of functions is drawn
    once per trial; episodes hold different ones of it, in random slots. Inputs have shape ``(slots + 1,)``, targets
    ``(1,)``.

    Args:
        functions: per episode.
        minibatches: of each function to learn from.
        batch: points per minibatch.
        queries: points of each function to be scored on.
        order: minibatches of all functions mixed, or function by function.
        pool: how many functions there are.
        part: number of the pool; pools of different numbers are drawn independently.
        slots: how many there are; by default as many as functions.

    Raises:
        ValueError: a number is below one, or there are too few functions in the pool, or slots.

    Source: Lindsey & Litwin-Kumar (2020), code; Javed & White (2019).
    """

    amplitudes: Float[Array, " pool"]
    phases: Float[Array, " pool"]
    functions: int = eqx.field(static=True)
    minibatches: int = eqx.field(static=True)
    batch: int = eqx.field(static=True)
    queries: int = eqx.field(static=True)
    order: Order = eqx.field(static=True)
    part: int = eqx.field(static=True)
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
        part: int = 0,
        slots: int | None = None,
    ):
        sizes = {"functions": functions, "minibatches": minibatches, "batch": batch, "queries": queries}
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if pool < functions:
            raise ValueError(f"a pool of {pool} functions is too small for {functions} different ones per episode")
        self.functions, self.minibatches, self.batch, self.queries = functions, minibatches, batch, queries
        self.order, self.part = order, part
        self.slots = functions if slots is None else slots
        if self.slots < functions:
            raise ValueError(f"{functions} functions do not fit into {self.slots} slots")
        self.amplitudes, self.phases = _curves(jax.random.key(part), pool)

    @property
    def parts(self) -> int:
        return self.functions

    @property
    def steps_per_part(self) -> int:
        return self.minibatches

    @property
    def queries_per_part(self) -> int:
        return self.queries

    def resample(self, key: Key[Array, ""]) -> "Sinusoids":
        pool = _curves(jax.random.fold_in(jax.random.fold_in(key, POOLS), self.part), len(self.phases))
        return eqx.tree_at(lambda task: (task.amplitudes, task.phases), self, pool)

    def in_order(self, key: Key[Array, ""]) -> Episode:
        choice_key, support_key, query_key = jax.random.split(key, 3)
        chosen = jax.random.choice(choice_key, len(self.phases), (self.functions,), replace=False)
        support = self._points(support_key, chosen, self.minibatches * self.batch)
        query = self._points(query_key, chosen, self.queries)
        stream = jax.tree.map(lambda leaf: leaf.reshape(-1, self.batch, leaf.shape[-1]), support)
        return Episode(stream, jax.tree.map(lambda leaf: leaf.reshape(-1, leaf.shape[-1]), query))

    def _points(self, key: Key[Array, ""], chosen: Int[Array, " functions"], count: int) -> Examples:
        """Points of every function; leading axes of functions and points."""
        x = jax.random.uniform(key, (self.functions, count), minval=-5.0, maxval=5.0)
        y = self.amplitudes[chosen][:, None] * jnp.sin(x + self.phases[chosen][:, None])
        slots = jnp.eye(self.functions, self.slots, dtype=x.dtype)[:, None]
        slots = jnp.broadcast_to(slots, (self.functions, count, self.slots))
        return Examples(jnp.concatenate([slots, x[..., None]], axis=-1), y[..., None])


def _curves(key: Key[Array, ""], pool: int) -> tuple[Float[Array, " pool"], Float[Array, " pool"]]:
    amplitude_key, phase_key = jax.random.split(key)
    amplitudes = jax.random.uniform(amplitude_key, (pool,), minval=0.1, maxval=5.1)
    return amplitudes, jax.random.uniform(phase_key, (pool,), maxval=jnp.pi)
