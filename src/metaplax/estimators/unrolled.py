"""Differentiation through the unrolled inner loop: in reverse, keeping some or all of its states, or forward."""

from abc import abstractmethod
from math import isqrt
from typing import ClassVar

import equinox as eqx
import jax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Key, PyTree

from metaplax.estimators.base import AbstractEstimator, MetaGradient, meta_parameter_count, parametrised
from metaplax.learners import AbstractInnerStep, AbstractLearner, IncompatibleError, plain_loop
from metaplax.tasks import Episode

LIMIT = 1000
"""Meta-parameters at most in forward mode."""


class AbstractUnrolled(AbstractEstimator):
    """Differentiates in reverse through the steps of the inner loop."""

    @abstractmethod
    def loop(self, step: AbstractInnerStep, state: PyTree, inputs: PyTree) -> PyTree:
        """Run the inner loop in such a way that its derivative is the one that is wanted."""

    def check(self, learner: AbstractLearner, episode: Episode | None = None) -> None:
        learner.check_unrolled()
        super().check(learner, episode)

    def value_and_grad(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> MetaGradient:
        parameters, learner_of = parametrised(learner)
        outer_loss = lambda parameters: learner_of(parameters).run(episode, key, self.loop)  # noqa: E731
        (loss, metrics), gradient = jax.value_and_grad(outer_loss, has_aux=True)(parameters)
        return MetaGradient(loss, metrics, gradient)


class Reverse(AbstractUnrolled):
    """Exact gradient by backpropagation through all inner updates.

    Time ``O(T P)``, memory ``O(T P)``: the whole inner state is kept at every step. Needs a learner
    that can be differentiated. Source: Algorithm 1 of Shervani-Tabar & Rosenbaum (2023);
    Maclaurin, Duvenaud & Adams (2015).
    """

    def loop(self, step: AbstractInnerStep, state: PyTree, inputs: PyTree) -> PyTree:
        return plain_loop(step, state, inputs)


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

    def loop(self, step: AbstractInnerStep, state: PyTree, inputs: PyTree) -> PyTree:
        block = eqx.filter_checkpoint(plain_loop)
        blocks, rest = in_chunks(inputs, self.every or max(1, isqrt(count_steps(inputs))))
        if blocks is not None:
            state, _ = jax.lax.scan(lambda state, inputs: (block(step, state, inputs), None), state, blocks)
        return state if rest is None else block(step, state, rest)


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

    def loop(self, step: AbstractInnerStep, state: PyTree, inputs: PyTree) -> PyTree:
        first = max(0, count_steps(inputs) - self.steps)
        if first:
            reached = _stop(plain_loop(_stop(step), _stop(state), jax.tree.map(lambda x: x[:first], inputs)))
            # The numbers that were reached, but the derivative of where the loop starts.
            state = jax.tree.map(_straight_through, reached, state) if self.reach_start else reached
        last = jax.tree.map(lambda x: x[first:], inputs)
        return Checkpointed().loop(step, state, last) if self.steps else state

    def value_and_grad(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> MetaGradient:
        self.refuse_zero(learner, episode)
        return super().value_and_grad(learner, episode, key)

    def differentiated(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> PyTree:
        return learner.run(episode, key, self.loop)[0]


class ForwardMode(AbstractEstimator):
    """Exact gradient by forward-mode differentiation, one tangent per meta-parameter.

    Time ``O(M T P)``, memory ``O(M P)`` whatever the number of steps: real-time recurrent learning of
    the meta-parameters. Needs a learner that can be differentiated and has few meta-parameters (at most
    1,000). Source: Williams & Zipser (1989); Franceschi et al. (2017).
    """

    def check(self, learner: AbstractLearner, episode: Episode | None = None) -> None:
        super().check(learner, episode)
        count = meta_parameter_count(learner)
        if count > LIMIT:
            raise IncompatibleError(
                f"ForwardMode runs the episode once per meta-parameter and this learner has {count:,} of them"
                f" (the limit is {LIMIT:,}): use Reverse or Checkpointed"
            )

    def value_and_grad(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> MetaGradient:
        parameters, learner_of = parametrised(learner)
        flat, unravel = ravel_pytree(parameters)

        def outer_loss(flat):
            value = learner_of(unravel(flat)).run(episode, key)
            return value[0], value

        gradient, (loss, metrics) = jax.jacfwd(outer_loss, has_aux=True)(flat)
        return MetaGradient(loss, metrics, unravel(gradient))


def _stop(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf, tree)


def _straight_through(value: Array, source: Array) -> Array:
    return value + (source - jax.lax.stop_gradient(source)) if eqx.is_inexact_array(value) else value


def count_steps(inputs: PyTree) -> int:
    """How many steps there are: the length of the leading axis."""
    return jax.tree.leaves(inputs)[0].shape[0]


def in_chunks(inputs: PyTree, length: int) -> tuple[PyTree | None, PyTree | None]:
    """Stretches of ``length`` steps, stacked along a new leading axis, and the steps left over.

    Either is ``None`` if there are none; a single stretch counts as left over.
    """
    steps = count_steps(inputs)
    whole = steps // length if steps > length else 0
    done = whole * length
    head = jax.tree.map(lambda x: x[:done].reshape(whole, length, *x.shape[1:]), inputs) if whole else None
    rest = jax.tree.map(lambda x: x[done:], inputs) if done < steps else None
    return head, rest
