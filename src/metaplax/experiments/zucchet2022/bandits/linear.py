"""Agents that assume rewards to be linear in the context."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from metaplax.experiments.zucchet2022.bandits.agents import AbstractAgent
from metaplax.experiments.zucchet2022.bandits.posterior import Posterior, per_action, thompson_sample, update_action
from metaplax.experiments.zucchet2022.bandits.wheel import ACTIONS


class AbstractLinearAgent(AbstractAgent):
    """Has a Bayesian linear regression of the rewards of every action, which is updated after every play."""

    every: int = eqx.field(default=1, init=False)

    def observe(
        self, state: Posterior, context: Float[Array, "2"], action: Int[Array, ""], reward: Float[Array, ""]
    ) -> Posterior:
        return update_action(state, action, _with_intercept(context), reward)


class LinFullPost(AbstractLinearAgent):
    """Thompson sampling from the Bayesian linear regressions.

    Args:
        precision: precision of the prior of the weights.
        shape: shape of the inverse gamma prior of the noise variance.
        scale: scale of that prior.

    Source: Riquelme et al. (2018).
    """

    precision: float = 0.25
    shape: float = 6.0
    scale: float = 6.0

    def start(self, key: Key[Array, ""]) -> Posterior:
        del key
        return per_action(Posterior.prior(3, self.precision, self.shape, self.scale))

    def act(self, state: Posterior, context: Float[Array, "2"], key: Key[Array, ""]) -> Int[Array, ""]:
        return thompson_sample(state, _with_intercept(context), key)


class LinGreedy(AbstractLinearAgent):
    """Takes the best action according to ridge regressions of the rewards, and sometimes a random one.

    Args:
        exploring: probability of a random action.
        precision: penalty of the ridge regression.

    Source: Riquelme et al. (2018).
    """

    exploring: float = 0.05
    precision: float = 0.25

    def start(self, key: Key[Array, ""]) -> Posterior:
        del key
        # The posterior mean is the ridge regression, whatever the prior of the noise.
        return per_action(Posterior.prior(3, self.precision, 1.0, 1.0))

    def act(self, state: Posterior, context: Float[Array, "2"], key: Key[Array, ""]) -> Int[Array, ""]:
        coin_key, action_key = jax.random.split(key)
        best = jnp.argmax(state.mean @ _with_intercept(context))
        random = jax.random.randint(action_key, (), 0, ACTIONS)
        return jnp.where(jax.random.uniform(coin_key) < self.exploring, random, best)


def _with_intercept(context: Float[Array, "2"]) -> Float[Array, "3"]:
    return jnp.concatenate([jnp.ones_like(context[:1]), context])
