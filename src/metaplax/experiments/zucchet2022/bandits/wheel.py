"""The wheel bandit: a contextual bandit whose best action is rarely the one that pays most of the time."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from metaplax.data.checks import check_sizes
from metaplax.tasks import AbstractTask, Episode, Examples

Context = Float[Array, "2"]
Action = Int[Array, ""]
Reward = Float[Array, ""]

ACTIONS = 5
MEANS = (1.0, 1.0, 1.0, 1.0, 1.2)
"""Mean reward of every action inside the rim; the last action is the safe one."""

HIGH = 50.0
"""Mean reward of the one best action in each quadrant of the rim."""

NOISE = 0.05, 0.01
"""Standard deviations of ordinary and of high rewards."""


def sample_contexts(key: Key[Array, ""], count: int) -> Float[Array, "count 2"]:
    """Draw points that are uniformly distributed in the unit disk."""
    radius_key, angle_key = jax.random.split(key)
    radius = jnp.sqrt(jax.random.uniform(radius_key, (count,)))
    angle = jax.random.uniform(angle_key, (count,), maxval=2 * jnp.pi)
    return jnp.stack([radius * jnp.cos(angle), radius * jnp.sin(angle)], axis=1)


def mean_rewards(contexts: Float[Array, "n 2"], delta: Float[Array, ""] | float) -> Float[Array, "n actions"]:
    """Mean rewards of all actions: on the rim, ``delta`` or more from the centre, one per quadrant is high."""
    rim = jnp.linalg.norm(contexts, axis=1) >= delta
    best = 2 * (contexts[:, 0] <= 0) + (contexts[:, 1] <= 0).astype(jnp.int32)
    high = rim[:, None] & (jnp.arange(ACTIONS)[None] == best[:, None])
    return jnp.where(high, HIGH, jnp.asarray(MEANS, contexts.dtype)[None])


def sample_rewards(key: Key[Array, ""], means: Float[Array, "n actions"]) -> Float[Array, "n actions"]:
    """Draw noisy rewards of all actions, given their means."""
    noise = jnp.where(means == HIGH, NOISE[1], NOISE[0])
    return means + noise * jax.random.normal(key, means.shape)


def bandit_feedback(rewards: Float[Array, "n actions"], actions: Int[Array, " n"]) -> Float[Array, "n actions"]:
    """Rewards of the actions that were taken; NaN for all others, whose rewards an agent does not see."""
    taken = jnp.arange(rewards.shape[1])[None] == actions[:, None]
    return jnp.where(taken, rewards, jnp.nan)


def uniform_regret(delta: float) -> float:
    """Expected regret per play of an agent that takes actions at random.

    Source: Riquelme et al. (2018); Zucchet et al. (2022), code.
    """
    ordinary, safe = MEANS[0], MEANS[-1]
    inside, outside = 0.8 * (safe - ordinary), 0.2 * (HIGH - safe) + 0.6 * (HIGH - ordinary)
    return delta**2 * inside + (1 - delta**2) * outside


class Wheel(eqx.Module):
    """Everything that is drawn for one game: contexts, and rewards of all actions with their means.

    An agent sees the context of a play, and the reward of the action that it takes.
    """

    contexts: Float[Array, "plays 2"]
    means: Float[Array, "plays actions"]
    rewards: Float[Array, "plays actions"]

    @staticmethod
    def draw(key: Key[Array, ""], plays: int, delta: Float[Array, ""] | float) -> "Wheel":
        """Draw contexts and rewards of a wheel whose rim begins at radius ``delta``."""
        context_key, reward_key = jax.random.split(key)
        contexts = sample_contexts(context_key, plays)
        means = mean_rewards(contexts, delta)
        return Wheel(contexts, means, sample_rewards(reward_key, means))


class WheelTask(AbstractTask):
    """Regression of the rewards of wheels with different ``delta``, given the rewards of random actions.

    ``delta`` is uniform in ``[0, 1]``. A pool of wheels, each with its contexts, actions and rewards, is drawn once per
    trial; an episode is one of them. Inputs have shape ``(2,)``, targets ``(5,)`` with NaN for actions that were not
    taken.

    Args:
        support: number of contexts to learn from.
        query: number of contexts to be scored on.
        pool: number of wheels in the pool; ``None`` for a new wheel in every episode.
        key: seed of the pool.

    Raises:
        ValueError: a number is below one.

    Source: Riquelme et al. (2018); Zucchet et al. (2022), section 5.5, and code.
    """

    support: int = eqx.field(static=True, default=512)
    query: int = eqx.field(static=True, default=50)
    pool: int | None = eqx.field(static=True, default=64)
    key: Key[Array, ""] = eqx.field(default_factory=lambda: jax.random.key(0))

    def __check_init__(self):
        check_sizes(support=self.support, query=self.query, pool=1 if self.pool is None else self.pool)

    def resample(self, key: Key[Array, ""]) -> "WheelTask":
        return eqx.tree_at(lambda task: task.key, self, key)

    def sample(self, key: Key[Array, ""]) -> Episode:
        if self.pool is not None:
            key = jax.random.fold_in(self.key, jax.random.randint(key, (), 0, self.pool))
        delta_key, context_key, action_key, reward_key = jax.random.split(key, 4)
        x = sample_contexts(context_key, self.support + self.query)
        actions = jax.random.randint(action_key, (len(x),), 0, ACTIONS)
        rewards = sample_rewards(reward_key, mean_rewards(x, jax.random.uniform(delta_key)))
        examples = Examples(x, bandit_feedback(rewards, actions))
        return Episode(examples.take(slice(self.support)), examples.take(slice(self.support, None)))
