"""Reverse mode that keeps a few inner states and computes the others again."""

from functools import partial
from math import isqrt

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from metaplax.estimators.base import AbstractEstimator, differentiate
from metaplax.learners import AbstractLearner
from metaplax.learners.base import Metrics
from metaplax.tasks import Episode


class Checkpointed(AbstractEstimator):
    """Exact gradient by backpropagation, with the inner state kept only every so many steps.

    Time ``O(T P)`` with one more forward pass than :class:`~metaplax.estimators.Reverse`; memory
    ``O((T / every + every) P)``, smallest at ``every = sqrt(T)``. Needs a learner that can be
    differentiated. Source: Griewank & Walther (2000); Chen et al. (2016).

    Args:
        every: steps between two kept states; by default the square root of the number of steps.

    Raises:
        ValueError: ``every`` is below one.
    """

    every: int | None = None

    def __check_init__(self):
        if self.every is not None and self.every < 1:
            raise ValueError(f"a state can be kept every 1, 2, ... steps, not every {self.every}")

    def value_and_grad(
        self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]
    ) -> tuple[tuple[Float[Array, ""], Metrics], AbstractLearner]:
        return differentiate(learner, episode, key, partial(checkpointed_scan, every=self.every))


def checkpointed_scan(body, carry, xs, *, every: int | None = None):
    """``jax.lax.scan`` that keeps the carry only every so many steps when it is differentiated."""
    steps = jax.tree.leaves(xs)[0].shape[0]
    every = min(every or max(1, isqrt(steps)), max(1, steps))
    whole = steps // every

    @jax.checkpoint
    def block(carry, xs):
        return jax.lax.scan(body, carry, xs)

    first = jax.tree.map(lambda x: x[: whole * every].reshape(whole, every, *x.shape[1:]), xs)
    carry, ys = jax.lax.scan(block, carry, first)
    ys = jax.tree.map(lambda y: y.reshape(whole * every, *y.shape[2:]), ys)
    if whole * every < steps:
        carry, rest = block(carry, jax.tree.map(lambda x: x[whole * every :], xs))
        ys = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), ys, rest)
    return carry, ys
