"""Continual familiarity detection: has this pattern been seen before?"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from metaplax.data.checks import check_sizes
from metaplax.tasks.episode import AbstractTask, Episode, Examples


class Familiarity(AbstractTask):
    """A stream of random patterns, some of which come a second time, after a fixed number of items.

    Every component of a pattern is -1 or 1 with equal probability. From the first item on that has something as far
    back as the longest interval, an interval is drawn for every item; if the item so far back was new and has not been
    repeated, it is repeated with probability ``repeat``. The target of a repeated item is 1.0, that of a new one 0.0,
    with shape ``(length, 1)``.

    Support and query set are the same stream: a learner with ``prequential=True`` is scored on its answers on the way.

    Args:
        inputs: components of a pattern.
        intervals: how many items after the first occurrence the second one comes: one number, or several.
        length: items in a stream.
        repeat: probability that an item is repeated if it can be; a fraction ``1 / (1 + repeat)`` of the items is new
            where there is a single interval.

    Raises:
        ValueError: a size or an interval is below one, an interval is not shorter than the stream, or ``repeat`` is
            no probability above zero.

    Source: Tyulmankov, Yang & Abbott (2022).
    """

    intervals: Int[Array, " intervals"]
    inputs: int = eqx.field(static=True)
    length: int = eqx.field(static=True)
    repeat: float = eqx.field(static=True)

    def __init__(self, inputs: int = 100, intervals: int | Sequence[int] = 3, length: int = 200, repeat: float = 0.5):
        check_sizes(inputs=inputs, length=length)
        given = (intervals,) if isinstance(intervals, int) else tuple(intervals)
        if not given or min(given) < 1:
            raise ValueError(f"items are repeated after at least one item, not after {intervals}")
        if max(given) >= length:
            raise ValueError(f"in a stream of {length} items none can be repeated after {max(given)}")
        if not 0 < repeat <= 1:
            raise ValueError(f"repeat is a probability above zero, not {repeat}")
        self.inputs, self.length, self.repeat = inputs, length, float(repeat)
        self.intervals = jnp.asarray(given, jnp.int32)

    def after(self, interval: Int[Array, ""] | int) -> "Familiarity":
        """The same streams with another interval, which a compiled program may compute."""
        intervals = jnp.full(self.intervals.shape, interval, jnp.int32)
        return eqx.tree_at(lambda task: task.intervals, self, intervals)

    def sources(self, key: Key[Array, ""]) -> Int[Array, " length"]:
        """For every item the number of its first occurrence: its own number if it is new."""
        which_key, coin_key = jax.random.split(key)
        time = jnp.arange(self.length)
        back = self.intervals[jax.random.randint(which_key, (self.length,), 0, len(self.intervals))]
        lucky = jax.random.bernoulli(coin_key, self.repeat, (self.length,)) & (time >= jnp.max(self.intervals))

        def item(is_open: Array, inputs: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            number, back, is_lucky = inputs
            repeats = is_lucky & is_open[number - back]
            source = jnp.where(repeats, number - back, number)
            return is_open.at[source].set(~repeats), source

        return jax.lax.scan(item, jnp.zeros(self.length, bool), (time, back, lucky))[1]

    def sample(self, key: Key[Array, ""]) -> Episode:
        pattern_key, order_key = jax.random.split(key)
        sources = self.sources(order_key)
        patterns = jax.random.rademacher(pattern_key, (self.length, self.inputs), jnp.result_type(float))
        is_repeated = sources != jnp.arange(self.length)
        stream = Examples(patterns[sources], is_repeated[:, None].astype(patterns.dtype))
        return Episode(stream, stream)
