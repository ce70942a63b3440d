"""Games of an agent on a wheel, played block by block."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.experiments.zucchet2022.bandits.agents import AbstractAgent, History
from metaplax.experiments.zucchet2022.bandits.wheel import ACTIONS, Wheel

PULLS = 2
"""How often every action is taken in turn before an agent chooses."""


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
        agent: the agent.
        wheel: the wheel.
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
        at = game.history.count
        block_key = jax.random.fold_in(key, at)
        learned = jax.lax.cond(
            at > 0,
            lambda: agent.learn(game.agent, game.history, jax.random.fold_in(block_key, 0)),
            lambda: game.agent,
        )
        keys = jax.random.split(jax.random.fold_in(block_key, 1), agent.every)
        game, regrets = jax.lax.scan(one_play, Game(learned, game.history), keys)
        return game, jnp.sum(regrets)

    game, regrets = jax.lax.scan(block, game, None, length=blocks)
    return game, jnp.sum(regrets)
