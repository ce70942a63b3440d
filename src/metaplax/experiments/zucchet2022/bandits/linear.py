"""Agents for which rewards are linear in the context."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from metaplax.experiments.zucchet2022.bandits.agents import AbstractAgent, with_intercept
from metaplax.experiments.zucchet2022.bandits.posterior import Posterior, one_each, updated
from metaplax.experiments.zucchet2022.bandits.wheel import ACTIONS


class LinFullPost(AbstractAgent):
    """Thompson sampling with a Bayesian linear regression of the rewards of every action.

    Args:
        precision: of the weights before any trial.
        shape: of the inverse gamma distribution of the noise before any trial.
        scale: likewise.

    Source: Riquelme et al. (2018).
    """

    every: int = eqx.field(default=1, init=False)
    precision: float = 0.25
    shape: float = 6.0
    scale: float = 6.0

    def start(self, key: Key[Array, ""]) -> Posterior:
        del key
        return one_each(Posterior.prior(3, self.precision, self.shape, self.scale), ACTIONS)

    def act(self, state: Posterior, context: Float[Array, "2"], key: Key[Array, ""]) -> Int[Array, ""]:
        keys = jax.random.split(key, ACTIONS)
        return jnp.argmax(jax.vmap(lambda known, key: known.sample(key, with_intercept(context)))(state, keys))

    def observe(
        self, state: Posterior, context: Float[Array, "2"], action: Int[Array, ""], reward: Float[Array, ""]
    ) -> Posterior:
        return updated(state, action, with_intercept(context), reward)


class LinGreedy(AbstractAgent):
    """Takes the best action by a ridge regression of the rewards of every action, but now and then one at random.

    Args:
        exploring: how often.
        precision: penalty of the ridge regression.

    Source: Riquelme et al. (2018).
    """

    every: int = eqx.field(default=1, init=False)
    exploring: float = 0.05
    precision: float = 0.25

    def start(self, key: Key[Array, ""]) -> Posterior:
        del key
        # Its mean is the ridge regression; noise plays no part.
        return one_each(Posterior.prior(3, self.precision, 1.0, 1.0), ACTIONS)

    def act(self, state: Posterior, context: Float[Array, "2"], key: Key[Array, ""]) -> Int[Array, ""]:
        coin_key, action_key = jax.random.split(key)
        best = jnp.argmax(state.mean @ with_intercept(context))
        anyone = jax.random.randint(action_key, (), 0, ACTIONS)
        return jnp.where(jax.random.uniform(coin_key) < self.exploring, anyone, best)

    def observe(
        self, state: Posterior, context: Float[Array, "2"], action: Int[Array, ""], reward: Float[Array, ""]
    ) -> Posterior:
        return updated(state, action, with_intercept(context), reward)
