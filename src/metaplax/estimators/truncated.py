"""Reverse mode through the last inner steps only."""

from functools import partial
from typing import ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Key, PyTree

from metaplax.estimators.base import AbstractUnrolled, Estimate, differentiate
from metaplax.estimators.checkpointed import checkpointed_loop
from metaplax.estimators.chunks import count_steps
from metaplax.learners import AbstractInnerStep, AbstractLearner, Loop, plain_loop
from metaplax.tasks import Episode


class Truncated(AbstractUnrolled):
    """Backpropagation through the last ``steps`` inner updates; what came before counts as given.

    Biased: how the meta-parameters act through earlier updates is left out, so that nothing is learned about where
    the inner loop starts, unless ``reach_start`` is true. With that and no step at all it is first-order MAML
    (Finn et al., 2017). Time ``O(T P)``, memory ``O(sqrt(steps) P)``. Needs a learner that can be differentiated.
    Source: Williams & Peng (1990); Shaban et al. (2019).

    Args:
        steps: how many updates; all of them if there are no more; 0 only with ``reach_start``.
        reach_start: whether the derivative with respect to the state before these updates is taken for the one with
            respect to where the inner loop starts, as in the published code of Zucchet et al. (2022).

    Raises:
        ValueError: ``steps`` is below one; with ``reach_start``, below zero.
    """

    why_zero: ClassVar[str] = (
        "the updates that it goes through depend on no meta-parameter once the state before them counts as given; use"
        " Checkpointed, or Truncated with reach_start=True"
    )

    steps: int
    reach_start: bool = False

    def __check_init__(self):
        if self.steps < (0 if self.reach_start else 1):
            raise ValueError(f"the last 1, 2, ... updates can be differentiated, not {self.steps}")

    def value_and_grad(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> Estimate:
        self.refuse_zero(learner, episode)
        return differentiate(learner, episode, key, self._loop())

    def differentiated(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> PyTree:
        return learner.run(episode, key, self._loop())[0]

    def _loop(self) -> Loop:
        return partial(truncated_loop, last=self.steps, reach_start=self.reach_start)


def truncated_loop(
    step: AbstractInnerStep, state: PyTree, inputs: PyTree, *, last: int, reach_start: bool = False
) -> PyTree:
    """Run an inner loop of which only the last steps are differentiated."""
    first = max(0, count_steps(inputs) - last)
    head, tail = (jax.tree.map(lambda x, cut=cut: x[cut], inputs) for cut in (slice(first), slice(first, None)))
    if first:
        reached = stop(plain_loop(stop(step), stop(state), head))
        state = straight_through(reached, state) if reach_start else reached
    return checkpointed_loop(step, state, tail) if last else state


def stop(tree: PyTree) -> PyTree:
    """The same numbers, as constants."""
    return jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf, tree)


def straight_through(value: PyTree, source: PyTree) -> PyTree:
    """The numbers of ``value`` with the derivative of ``source``."""
    return jax.tree.map(
        lambda v, s: v + (s - jax.lax.stop_gradient(s)) if eqx.is_inexact_array(v) else v, value, source
    )
