"""The wheel bandit: where to explore is what counts, as the best action is rarely the one that mostly pays."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from metaplax.tasks.episode import AbstractTask, Episode, Examples

ACTIONS = 5
MEANS = (1.0, 1.0, 1.0, 1.0, 1.2)
"""Mean reward of every action; the last one is the safe one."""

HIGH = 50.0
"""Mean reward of one action in each quadrant of the rim."""

NOISE = 0.05, 0.01
"""Standard deviations of ordinary and of high rewards."""


def contexts(key: Key[Array, ""], count: int) -> Float[Array, "count 2"]:
    """Places that are uniform in the unit disk."""
    radius_key, angle_key = jax.random.split(key)
    radius = jnp.sqrt(jax.random.uniform(radius_key, (count,)))
    angle = jax.random.uniform(angle_key, (count,), maxval=2 * jnp.pi)
    return jnp.stack([radius * jnp.cos(angle), radius * jnp.sin(angle)], axis=1)


def rewarded_action(x: Float[Array, "n 2"]) -> Int[Array, " n"]:
    """Which action a high reward is for in the quadrant of every place."""
    return 2 * (x[:, 0] <= 0) + (x[:, 1] <= 0).astype(jnp.int32)


def means(x: Float[Array, "n 2"], delta: Float[Array, ""] | float) -> Float[Array, "n actions"]:
    """Mean rewards of all actions: only on the rim, at least ``delta`` from the centre, one of them is high."""
    rim = jnp.linalg.norm(x, axis=1) >= delta
    high = rim[:, None] & (jnp.arange(ACTIONS)[None] == rewarded_action(x)[:, None])
    return jnp.where(high, HIGH, jnp.asarray(MEANS, x.dtype)[None])


def rewards(key: Key[Array, ""], mean: Float[Array, "n actions"]) -> Float[Array, "n actions"]:
    """Noisy rewards of all actions, given their means."""
    noise = jnp.where(mean == HIGH, NOISE[1], NOISE[0])
    return mean + noise * jax.random.normal(key, mean.shape)


def regrets(mean: Float[Array, "n actions"], actions: Int[Array, " n"]) -> Float[Array, " n"]:
    """How much more the best action gives on average than the one that was taken."""
    taken = jnp.take_along_axis(mean, actions[:, None], axis=1)[:, 0]
    return jnp.max(mean, axis=1) - taken


def uniform_regret(delta: float) -> float:
    """Expected regret per trial of an agent that takes actions at random.

    Source: Riquelme et al. (2018); Zucchet et al. (2022), code.
    """
    safe = MEANS[-1]
    inside = 0.8 * (safe - MEANS[0])
    outside = 0.2 * (HIGH - safe) + 0.6 * (HIGH - MEANS[0])
    return delta**2 * inside + (1 - delta**2) * outside


class WheelTask(AbstractTask):
    """Wheels of different ``delta``, seen through the rewards of random actions.

    ``delta`` is uniform in ``[0, 1]``. A pool of wheels, each with its contexts, actions and rewards, is drawn once per
    trial; an episode is one of them. Inputs have shape ``(2,)``, targets ``(5,)`` with NaN for actions that were not
    taken.

    Args:
        support: contexts to learn from.
        query: contexts to be scored on.
        pool: how many wheels there are; ``None`` for a new one in every episode.

    Raises:
        ValueError: a number is below one.

    Source: Riquelme et al. (2018); Zucchet et al. (2022), section 5.5, and code.
    """

    support: int = eqx.field(static=True, default=512)
    query: int = eqx.field(static=True, default=50)
    pool: int | None = eqx.field(static=True, default=64)
    key: Key[Array, ""] = eqx.field(default_factory=lambda: jax.random.key(0))

    def __check_init__(self):
        for name, value in (("support", self.support), ("query", self.query), ("pool", self.pool)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")

    def resample(self, key: Key[Array, ""]) -> "WheelTask":
        return eqx.tree_at(lambda task: task.key, self, key)

    def sample(self, key: Key[Array, ""]) -> Episode:
        if self.pool is not None:
            key = jax.random.fold_in(self.key, jax.random.randint(key, (), 0, self.pool))
        delta_key, context_key, action_key, reward_key = jax.random.split(key, 4)
        x = contexts(context_key, self.support + self.query)
        delta = jax.random.uniform(delta_key)
        actions = jax.random.randint(action_key, (len(x),), 0, ACTIONS)
        given = known(rewards(reward_key, means(x, delta)), actions)
        examples = Examples(x, given)
        return Episode(
            jax.tree.map(lambda leaf: leaf[: self.support], examples),
            jax.tree.map(lambda leaf: leaf[self.support :], examples),
        )


def known(given: Float[Array, "n actions"], actions: Int[Array, " n"]) -> Float[Array, "n actions"]:
    """Rewards with NaN for actions that were not taken."""
    taken = jnp.arange(given.shape[1])[None] == actions[:, None]
    return jnp.where(taken, given, jnp.nan)
