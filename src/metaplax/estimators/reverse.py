"""Reverse mode through the unrolled inner loop."""

from jaxtyping import Array, Key

from metaplax.estimators.base import AbstractUnrolled, Estimate, differentiate
from metaplax.learners import AbstractLearner
from metaplax.tasks import Episode


class Reverse(AbstractUnrolled):
    """Exact gradient by backpropagation through all inner updates.

    Time ``O(T P)``, memory ``O(T P)``: the whole inner state is kept at every step. Needs a learner
    that can be differentiated. Source: Algorithm 1 of Shervani-Tabar & Rosenbaum (2023);
    Maclaurin, Duvenaud & Adams (2015).
    """

    def value_and_grad(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> Estimate:
        return differentiate(learner, episode, key)
