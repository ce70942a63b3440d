"""Reptile: where a task has ended is where the next one should start."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.estimators.base import AbstractEstimator, require_energy
from metaplax.learners import AbstractEnergyLearner, AbstractLearner, IncompatibleError, join, split
from metaplax.learners.base import Metrics
from metaplax.tasks import Episode

WHY = "Reptile compares where an energy's descent starts and ends"


class Reptile(AbstractEstimator):
    """Fast parameters at the start minus those at the end, felt by the meta-parameters that the start is made of.

    Not the gradient of the outer loss, but a direction in which the starts of similar tasks come together: in it, every
    step but the first one pulls gradients of different examples into line. Time ``O(T P)``, memory ``O(P)``. Needs an
    :class:`~metaplax.learners.AbstractEnergyLearner` whose start is meta-learned.

    Args:
        with_query: whether a task is learned from all of its examples, as usual, and not from the support set only.
            Loss and metrics are always those after learning from the support set.

    Source: Nichol et al. (2018).
    """

    with_query: bool = True

    def check(self, learner: AbstractLearner) -> None:
        super().check(learner)
        parameters, constants = split(require_energy(learner, WHY))
        start, back = jax.vjp(lambda parameters: _start(parameters, constants, jax.random.key(0)), parameters)
        felt = back(jax.tree.map(jnp.ones_like, start))[0]
        if not any(jnp.any(leaf != 0) for leaf in jax.tree.leaves(felt)):
            raise IncompatibleError("Reptile learns where an inner loop starts, which is not meta-learned here")

    def value_and_grad(
        self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]
    ) -> tuple[tuple[Float[Array, ""], Metrics], AbstractLearner]:
        parameters, constants = split(learner)
        energetic = require_energy(join(parameters, constants), WHY)
        init_key, adapt_key = jax.random.split(key)
        state = energetic.init(init_key)
        end = energetic.adapt(state, episode.support, adapt_key)
        loss, metrics = energetic.evaluate(end, episode.query)
        if self.with_query:
            both = jax.tree.map(lambda *parts: jnp.concatenate(parts), episode.support, episode.query)
            end = energetic.adapt(state, both, adapt_key)
        start, back = jax.vjp(lambda parameters: _start(parameters, constants, init_key), parameters)
        return (loss, metrics), back(jax.tree.map(jnp.subtract, start, end.fast))[0]


def _start(parameters: PyTree, constants: PyTree, key: Key[Array, ""]) -> PyTree:
    learner = join(parameters, constants)
    assert isinstance(learner, AbstractEnergyLearner)
    return learner.begin(key)[0]
