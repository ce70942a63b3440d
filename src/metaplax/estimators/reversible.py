"""Reverse mode that recovers the inner states by undoing the updates."""

import warnings
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Key, PyTree

from metaplax.estimators.base import AbstractEstimator, MetaGradient, parametrised
from metaplax.estimators.dependence import has_derivative
from metaplax.estimators.reversible_loop import reversible_loop
from metaplax.estimators.unrolled import AbstractUnrolled, Checkpointed
from metaplax.learners import AbstractInvertibleLearner, AbstractLearner
from metaplax.plasticity import AbstractUpdate, why_not_undone
from metaplax.tasks import Episode

ANCHOR_EVERY = 500
"""Steps between two kept states; what is recovered in between is off by less than 1e-5 in single precision."""


class FallbackWarning(UserWarning):
    """Another estimator computes the same gradient, because the one asked for does not apply."""


class Reversible(AbstractUnrolled):
    """Exact gradient by backpropagation, with the inner states recovered by undoing the updates.

    Time ``O(T P)``, with a small constant: matrix-vector products and one fused change of each matrix per
    step and direction. Memory ``O(T sqrt(P) + (T / anchor_every) P)``: per step only vectors are kept, one of each for
    every example of a minibatch. Needs
    an ``AbstractInvertibleLearner`` whose updates are outer products (with one
    coefficient for all, per neuron or per synapse) and decays; for other learners it warns and uses the
    fallback, whose gradient is the same. What is recovered is as exact as rounding allows: where weights grow
    by orders of magnitude between two anchors, as many digits are lost. Source: reversible learning is due to
    Maclaurin, Duvenaud & Adams (2015), who store the bits that a step loses where this stores its products.

    Args:
        anchor_every: a state is kept about every so many steps, so that rounding errors do not add up.
        fallback: estimator for learners whose updates cannot be undone.

    Raises:
        ValueError: ``anchor_every`` is below one.
    """

    anchor_every: int = ANCHOR_EVERY
    fallback: AbstractEstimator = Checkpointed()

    def __check_init__(self):
        if self.anchor_every < 1:
            raise ValueError(f"a state can be kept every 1, 2, ... steps, not every {self.anchor_every}")

    def loop(self, step: Any, state: PyTree, inputs: PyTree) -> PyTree:
        return reversible_loop((step, state), inputs, self.anchor_every)

    def value_and_grad(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> MetaGradient:
        reason = why_not_reversible(learner, episode, key)
        if reason is None:
            return super().value_and_grad(learner, episode, key)
        name = type(self.fallback).__name__
        warnings.warn(f"Reversible does not apply, {name} takes its place: {reason}", FallbackWarning, stacklevel=2)
        return self.fallback.value_and_grad(learner, episode, key)

    @property
    def problems(self) -> tuple[str, ...]:
        return self.fallback.problems


def why_not_reversible(learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> str | None:
    """Why the updates of a learner cannot be undone, in half a sentence; nothing if they can.

    An update can be undone if it is of a kind that ``undo`` knows, and all that has to be
    kept of it are vectors: matrices in it, such as a coefficient per synapse, must be constants of the learner.
    """
    if not isinstance(learner, AbstractInvertibleLearner):
        return f"the updates of {type(learner).__name__} are not written as structured updates"
    parameters, learner_of = parametrised(learner)
    arrays, constants = eqx.partition(learner_of(parameters), eqx.is_array)
    seen = lambda parameters, support: learner_of(parameters).precompute(support)  # noqa: E731
    if has_derivative(seen, parameters, episode.support):
        return "what the inner loop sees of an example depends on meta-parameters"
    state, example = jax.eval_shape(
        lambda: (learner.init(key), jax.tree.map(lambda x: x[0], learner.precompute(episode.support)))
    )
    reasons: list[str] = []
    where: list[str] = []

    def matrices(arrays, state, example, key):
        changes = eqx.combine(arrays, constants).updates(state, example, key)
        found = jax.tree_util.tree_leaves_with_path(changes, is_leaf=lambda node: isinstance(node, AbstractUpdate))
        reasons.extend(reason for _, update in found if (reason := why_not_undone(update)))
        where.extend(jax.tree_util.keystr(path) for path, update in found for _ in update.matrices())
        return [update.matrices() for _, update in found]

    jaxpr = jax.make_jaxpr(matrices)(arrays, state, example, key)
    if reasons:
        return reasons[0]
    constant = {*jaxpr.jaxpr.invars[: len(jax.tree.leaves(arrays))], *jaxpr.jaxpr.constvars}
    for path, variable in zip(where, jaxpr.jaxpr.outvars, strict=True):
        if variable not in constant:
            return f"the change {path} is a full matrix that differs from step to step"
    return None
