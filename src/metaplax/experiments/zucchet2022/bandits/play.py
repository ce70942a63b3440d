"""Letting an agent play the wheel, block by block."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from metaplax.experiments.zucchet2022.bandits.agents import AbstractAgent, Seen
from metaplax.experiments.zucchet2022.bandits.wheel import ACTIONS, contexts, means, regrets, rewards

PULLS = 2
"""How often every action is taken in turn before an agent chooses."""


class Wheel(eqx.Module):
    """A wheel with all that will happen on it.

    Attributes:
        contexts: of every trial.
        means: mean rewards of all actions.
        rewards: rewards of all actions, of which an agent sees the one it takes.
    """

    contexts: Float[Array, "trials 2"]
    means: Float[Array, "trials actions"]
    rewards: Float[Array, "trials actions"]

    @staticmethod
    def draw(key: Key[Array, ""], trials: int, delta: Float[Array, ""] | float) -> "Wheel":
        """Contexts and rewards of so many trials; the rim starts at ``delta``."""
        context_key, reward_key = jax.random.split(key)
        x = contexts(context_key, trials)
        mean = means(x, delta)
        return Wheel(x, mean, rewards(reward_key, mean))


class Played(eqx.Module):
    """How far a game is: what the agent knows, and what it has seen."""

    agent: PyTree
    seen: Seen


def start_play(agent: AbstractAgent, trials: int, key: Key[Array, ""]) -> Played:
    """Before the first of so many trials."""
    return Played(agent.start(key), Seen.nothing(trials))


def play(
    agent: AbstractAgent, wheel: Wheel, played: Played, blocks: int, key: Key[Array, ""]
) -> tuple[Played, Float[Array, ""]]:
    """Go on for so many blocks of ``agent.every`` trials each.

    Before each, the agent learns from all it has seen, if there is anything. In the first trials of a game every
    action is taken twice, in turn.

    Args:
        agent: who plays.
        wheel: what it plays.
        played: how far it is.
        blocks: how many blocks to play.
        key: of the whole game.

    Returns:
        how far it is then, and the regret of these blocks.
    """

    def trial(played: Played, trial_key: Key[Array, ""]) -> tuple[Played, Float[Array, ""]]:
        at = played.seen.count
        x = wheel.contexts[at]
        chosen = agent.act(played.agent, x, trial_key)
        action = jnp.where(at < PULLS * ACTIONS, at % ACTIONS, chosen).astype(jnp.int32)
        reward = wheel.rewards[at, action]
        regret = regrets(wheel.means[at][None], action[None])[0]
        return Played(agent.observe(played.agent, x, action, reward), played.seen.after(x, action, reward)), regret

    def block(played: Played, _: None) -> tuple[Played, Float[Array, ""]]:
        at = played.seen.count
        block_key = jax.random.fold_in(key, at)
        learned = jax.lax.cond(
            at > 0,
            lambda: agent.learn(played.agent, played.seen, jax.random.fold_in(block_key, 0)),
            lambda: played.agent,
        )
        keys = jax.random.split(jax.random.fold_in(block_key, 1), agent.every)
        played, regret = jax.lax.scan(trial, Played(learned, played.seen), keys)
        return played, jnp.sum(regret)

    played, regret = jax.lax.scan(block, played, None, length=blocks)
    return played, jnp.sum(regret)


def happened(played: Played) -> Bool[Array, " trials"]:
    """Which rows of what was seen have happened."""
    return jnp.arange(len(played.seen.actions)) < played.seen.count


def choices(played: Played) -> Int[Array, " trials"]:
    """The actions that were taken, and -1 where nothing has happened yet."""
    return jnp.where(happened(played), played.seen.actions, -1)
