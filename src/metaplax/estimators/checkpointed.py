"""Reverse mode that keeps a few inner states and computes the others again."""

from functools import partial
from math import isqrt

import equinox as eqx
import jax
from jaxtyping import Array, Key, PyTree

from metaplax.estimators.base import AbstractUnrolled, Estimate, differentiate
from metaplax.estimators.chunks import count_steps, in_chunks
from metaplax.learners import AbstractInnerStep, AbstractLearner, plain_loop
from metaplax.tasks import Episode


class Checkpointed(AbstractUnrolled):
    """Exact gradient by backpropagation, with the inner state kept only every so many steps.

    Time ``O(T P)`` with one more forward pass than ``Reverse``; memory
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

    def value_and_grad(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> Estimate:
        return differentiate(learner, episode, key, partial(checkpointed_loop, every=self.every))


def checkpointed_loop(step: AbstractInnerStep, state: PyTree, inputs: PyTree, *, every: int | None = None) -> PyTree:
    """Run an inner loop that, when it is differentiated, keeps the state only every so many steps."""
    steps = count_steps(inputs)
    block = eqx.filter_checkpoint(plain_loop)
    blocks, rest = in_chunks(inputs, every or max(1, isqrt(steps)))
    if blocks is not None:
        state, _ = jax.lax.scan(lambda state, inputs: (block(step, state, inputs), None), state, blocks)
    return state if rest is None else block(step, state, rest)
