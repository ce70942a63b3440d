"""Reptile: the next task should start near where the last one has ended."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from metaplax.estimators.base import AbstractOnEnergies, MetaGradient, parametrised
from metaplax.learners import AbstractLearner
from metaplax.tasks import Episode


class Reptile(AbstractOnEnergies):
    """Fast parameters at the start minus those at the end, pulled back to the meta-parameters that set the start.

    Not the gradient of the outer loss, but a direction in which the starts of similar tasks come together: in it, every
    step but the first one pulls gradients of different examples into line. Time ``O(T P)``, memory ``O(P)``. Needs an
    ``AbstractEnergyLearner`` whose start is meta-learned.

    Args:
        with_query: whether a task is learned from all of its examples, as usual, and not from the support set only.
            Loss and metrics are always those after learning from the support set.

    Source: Nichol et al. (2018).
    """

    needs: ClassVar[str] = "Reptile compares where the descent of an energy starts and ends"
    why_zero: ClassVar[str] = "it learns where an inner loop starts, which is not meta-learned here"

    with_query: bool = True

    def value_and_grad(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> MetaGradient:
        self.refuse_zero(learner, episode)
        parameters, learner_of = parametrised(learner)
        energetic = self.energetic(learner_of(parameters))
        init_key, adapt_key = jax.random.split(key)
        state = energetic.init(init_key)
        end = energetic.adapt(state, episode.support, adapt_key)
        loss, metrics = energetic.evaluate(end, episode.query)
        if self.with_query:
            both = jax.tree.map(lambda *parts: jnp.concatenate(parts), episode.support, episode.query)
            end = energetic.adapt(state, both, adapt_key)
        start, back = jax.vjp(lambda parameters: self._start(learner_of(parameters), init_key), parameters)
        return MetaGradient(loss, metrics, back(jax.tree.map(jnp.subtract, start, end.fast))[0])

    def differentiated(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> PyTree:
        del episode
        return self._start(learner, key)

    def _start(self, learner: AbstractLearner, key: Key[Array, ""]) -> PyTree:
        return self.energetic(learner).begin(key)[0]
