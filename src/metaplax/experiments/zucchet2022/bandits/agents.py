"""What an agent is: it takes actions, sees their rewards, and now and then learns from all it has seen."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.experiments.zucchet2022.bandits.wheel import ACTIONS, known
from metaplax.tasks import Examples


class Seen(eqx.Module):
    """What has happened so far: the first ``count`` rows.

    Attributes:
        contexts: one per trial.
        actions: that were taken.
        rewards: that they gave.
        count: trials so far.
    """

    contexts: Float[Array, "trials 2"]
    actions: Int[Array, " trials"]
    rewards: Float[Array, " trials"]
    count: Int[Array, ""]

    @staticmethod
    def nothing(trials: int) -> "Seen":
        """Room for so many trials, none of which has happened."""
        return Seen(jnp.zeros((trials, 2)), jnp.zeros(trials, jnp.int32), jnp.zeros(trials), jnp.int32(0))

    def after(self, context: Float[Array, "2"], action: Int[Array, ""], reward: Float[Array, ""]) -> "Seen":
        """With one more trial."""
        at = self.count
        return Seen(
            self.contexts.at[at].set(context),
            self.actions.at[at].set(action),
            self.rewards.at[at].set(reward),
            at + 1,
        )

    def some(self, key: Key[Array, ""], size: int) -> Examples:
        """Trials drawn with replacement, of which there must have been one: rewards are NaN but for what was done."""
        rows = jax.random.randint(key, (size,), 0, jnp.maximum(self.count, 1))
        rewards = jnp.repeat(self.rewards[rows][:, None], ACTIONS, axis=1)
        return Examples(self.contexts[rows], known(rewards, self.actions[rows]))


class AbstractAgent(eqx.Module):
    """Chooses one of five actions for every context.

    Attributes:
        every: trials from one call of :meth:`learn` to the next.
    """

    every: AbstractVar[int]

    @abstractmethod
    def start(self, key: Key[Array, ""]) -> PyTree:
        """What it knows before the first trial."""

    def learn(self, state: PyTree, seen: Seen, key: Key[Array, ""]) -> PyTree:
        """What it knows after looking at everything again; by default nothing new. Called once something was seen."""
        del seen, key
        return state

    @abstractmethod
    def act(self, state: PyTree, context: Float[Array, "2"], key: Key[Array, ""]) -> Int[Array, ""]:
        """The action it takes."""

    def observe(
        self, state: PyTree, context: Float[Array, "2"], action: Int[Array, ""], reward: Float[Array, ""]
    ) -> PyTree:
        """What it knows after one more trial; by default nothing new."""
        del context, action, reward
        return state


class Uniform(AbstractAgent):
    """Takes actions at random."""

    every: int = 1

    def start(self, key: Key[Array, ""]) -> PyTree:
        return ()

    def act(self, state: PyTree, context: Float[Array, "2"], key: Key[Array, ""]) -> Int[Array, ""]:
        return jax.random.randint(key, (), 0, ACTIONS)


def with_intercept(context: Float[Array, "2"]) -> Float[Array, "3"]:
    """A context with a one in front, for linear agents."""
    return jnp.concatenate([jnp.ones_like(context[:1]), context])
