"""The interface of an agent, which takes actions, observes their rewards and learns from its history; a random one."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.experiments.zucchet2022.bandits.wheel import ACTIONS, bandit_feedback
from metaplax.tasks import Examples


class History(eqx.Module):
    """All plays of a game so far, in the first ``count`` rows.

    Attributes:
        contexts: context of each play.
        actions: action that was taken.
        rewards: reward of that action.
        count: number of plays so far.
    """

    contexts: Float[Array, "plays 2"]
    actions: Int[Array, " plays"]
    rewards: Float[Array, " plays"]
    count: Int[Array, ""]

    @staticmethod
    def empty(plays: int) -> "History":
        """A history with room for a number of plays."""
        return History(jnp.zeros((plays, 2)), jnp.zeros(plays, jnp.int32), jnp.zeros(plays), jnp.int32(0))

    def add(self, context: Float[Array, "2"], action: Int[Array, ""], reward: Float[Array, ""]) -> "History":
        """The history with one more play."""
        at = self.count
        return History(
            self.contexts.at[at].set(context), self.actions.at[at].set(action), self.rewards.at[at].set(reward), at + 1
        )

    def minibatch(self, key: Key[Array, ""], size: int) -> Examples:
        """Draw plays with replacement, at least one of which must have been; targets are as ``bandit_feedback``."""
        rows = jax.random.randint(key, (size,), 0, jnp.maximum(self.count, 1))
        rewards = jnp.repeat(self.rewards[rows][:, None], ACTIONS, axis=1)
        return Examples(self.contexts[rows], bandit_feedback(rewards, self.actions[rows]))


class AbstractAgent(eqx.Module):
    """Chooses one of five actions for every context.

    Attributes:
        every: number of plays from one call of ``learn`` to the next.
    """

    every: AbstractVar[int]

    @abstractmethod
    def start(self, key: Key[Array, ""]) -> PyTree:
        """State of the agent before the first play."""

    def learn(self, state: PyTree, history: History, key: Key[Array, ""]) -> PyTree:
        """State after learning from the whole history, in which there is a play; by default the same state."""
        del history, key
        return state

    @abstractmethod
    def act(self, state: PyTree, context: Float[Array, "2"], key: Key[Array, ""]) -> Int[Array, ""]:
        """Choose an action."""

    def observe(
        self, state: PyTree, context: Float[Array, "2"], action: Int[Array, ""], reward: Float[Array, ""]
    ) -> PyTree:
        """State after one more play; by default the same state."""
        del context, action, reward
        return state


class Uniform(AbstractAgent):
    """Takes actions at random."""

    every: int = 1

    def start(self, key: Key[Array, ""]) -> PyTree:
        return ()

    def act(self, state: PyTree, context: Float[Array, "2"], key: Key[Array, ""]) -> Int[Array, ""]:
        return jax.random.randint(key, (), 0, ACTIONS)
