"""Games of an agent on a wheel, played block by block; what an agent is, and what it sees."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.experiments.zucchet2022.bandits.wheel import ACTIONS, Action, Context, Reward, Wheel, bandit_feedback
from metaplax.tasks import Examples

PULLS = 2
"""How often every action is taken in turn before an agent chooses."""


class History(eqx.Module):
    """All plays of a game so far, in the first ``count`` rows: contexts, the actions taken, and their rewards."""

    contexts: Float[Array, "plays 2"]
    actions: Int[Array, " plays"]
    rewards: Float[Array, " plays"]
    count: Int[Array, ""]

    @staticmethod
    def empty(plays: int) -> "History":
        """A history with room for a number of plays."""
        return History(jnp.zeros((plays, 2)), jnp.zeros(plays, jnp.int32), jnp.zeros(plays), jnp.int32(0))

    def add(self, context: Context, action: Action, reward: Reward) -> "History":
        """The history with one more play."""
        contexts, actions = self.contexts.at[self.count].set(context), self.actions.at[self.count].set(action)
        return History(contexts, actions, self.rewards.at[self.count].set(reward), self.count + 1)

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
    def act(self, state: PyTree, context: Context, key: Key[Array, ""]) -> Action:
        """Choose an action."""

    def observe(self, state: PyTree, context: Context, action: Action, reward: Reward) -> PyTree:
        """State after one more play; by default the same state."""
        del context, action, reward
        return state


class Game(eqx.Module):
    """State of a game: that of the agent, and all plays so far."""

    agent: PyTree
    history: History


def start_game(agent: AbstractAgent, plays: int, key: Key[Array, ""]) -> Game:
    """A game of ``plays`` plays before the first of them."""
    return Game(agent.start(key), History.empty(plays))


def play(
    agent: AbstractAgent, wheel: Wheel, game: Game, blocks: int, key: Key[Array, ""]
) -> tuple[Game, Float[Array, ""]]:
    """Continue a game for some blocks of ``agent.every`` plays each.

    Before each block but the first of a game, the agent learns from the history. In the first plays of a game every
    action is taken twice, in turn.

    Args:
        agent: who plays.
        wheel: what is played.
        game: state of the game.
        blocks: number of blocks to play.
        key: key of the game, the same for all its parts.

    Returns:
        state of the game after these blocks, and the sum of the regrets of their plays.
    """

    def one_play(game: Game, play_key: Key[Array, ""]) -> tuple[Game, Float[Array, ""]]:
        at = game.history.count
        context, means = wheel.contexts[at], wheel.means[at]
        chosen = agent.act(game.agent, context, play_key)
        action = jnp.where(at < PULLS * ACTIONS, at % ACTIONS, chosen).astype(jnp.int32)
        reward = wheel.rewards[at, action]
        state = agent.observe(game.agent, context, action, reward)
        return Game(state, game.history.add(context, action, reward)), jnp.max(means) - means[action]

    def block(game: Game, _: None) -> tuple[Game, Float[Array, ""]]:
        block_key = jax.random.fold_in(key, game.history.count)
        learn_key, play_key = (jax.random.fold_in(block_key, number) for number in range(2))
        learn, stay = (lambda: agent.learn(game.agent, game.history, learn_key)), (lambda: game.agent)
        learned = jax.lax.cond(game.history.count > 0, learn, stay)
        keys = jax.random.split(play_key, agent.every)
        game, regrets = jax.lax.scan(one_play, Game(learned, game.history), keys)
        return game, jnp.sum(regrets)

    game, regrets = jax.lax.scan(block, game, None, length=blocks)
    return game, jnp.sum(regrets)
