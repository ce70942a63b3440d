"""Simulated experiments of a known rule, which say before a real one what could be inferred from it."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.inference.models import choosing_start
from metaplax.inference.replay import replay
from metaplax.learners import PlasticLearner
from metaplax.tasks import Episode, Examples

PROBABILITIES = ((0.2, 0.8), (0.9, 0.1), (0.2, 0.8))
"""Of a reward for each odour, in three blocks of trials."""


class SimulatedLayer(eqx.Module):
    """A layer that learns from random inputs, and what is recorded of it.

    Attributes:
        teacher: the layer and its rule.
        steps: length of a trajectory.
        sd: standard deviation of the initial weights, which are known.
        noise: standard deviation of what is added to the recorded activity.
        recorded: how many output neurons are recorded, and how many inputs; in the place of each input that is not, its
            recording has an independent one.
    """

    teacher: PlasticLearner
    steps: int = eqx.field(static=True)
    sd: float
    noise: float
    recorded: tuple[int, int] = eqx.field(static=True)

    def __call__(self, key: Key[Array, ""]) -> Episode:
        """One trajectory: inputs ``support.x``, activity ``support.y`` (NaN if not recorded), and initial weights."""
        keys = jax.random.split(key, 6)
        post, pre = self.teacher.network.shapes[0]
        x, other = jax.random.normal(keys[0], (2, self.steps, pre))
        start = (self.sd * jax.random.normal(keys[1], (post, pre)),)
        silent = Examples(x, jnp.zeros((self.steps, post)))
        y = replay(self.teacher, Episode(silent, silent, start)).activity[-1]
        y = y + self.noise * jax.random.normal(keys[2], y.shape)
        outputs, inputs = (
            jax.random.permutation(k, size)[None] < count
            for k, size, count in zip(keys[3:5], (post, pre), self.recorded, strict=True)
        )
        seen = Examples(jnp.where(inputs, x, other), jnp.where(outputs, y, jnp.nan))
        return Episode(seen, seen, start)


class SimulatedFly(eqx.Module):
    """A fly that is offered one of two odours at a time, and goes on to the next offer or accepts and may be rewarded.

    A trial ends when an odour is accepted. At the beginning of each, a reward is baited with the probability that the
    odour has in this block, and waits until it is collected. The fly learns from accepted offers only.

    Attributes:
        teacher: the network of the fly and its rule.
        trials: per block.
        offers: longest experiment; what comes after the last trial is padding, with choices that are NaN.
        window: the expected reward is the mean of so many rewards, zero at the start.
        known: whether the recording comes with the initial weights and the very inputs, not with other draws.
        sd: of the noise of every input.
        probabilities: of a reward, for every block and odour.
    """

    teacher: PlasticLearner
    trials: int = eqx.field(static=True)
    offers: int = eqx.field(static=True)
    window: int = eqx.field(static=True)
    known: bool = eqx.field(static=True)
    sd: float = 0.05
    probabilities: tuple[tuple[float, float], ...] = eqx.field(static=True, default=PROBABILITIES)

    def __call__(self, key: Key[Array, ""]) -> Episode:
        """One experiment: inputs ``support.x`` and choices ``support.y`` of every offer, and rewards as modulators."""
        start_key, flip_key, run_key, again_key, bait_key = jax.random.split(key, 5)
        post, pre = self.teacher.network.shapes[0]
        start = choosing_start(start_key, pre, post)
        drives = jax.random.permutation(flip_key, pre) < pre // 2
        # An odour drives one half of the inputs, the other odour the other half.
        odours = 0.75 * jnp.stack([drives, ~drives]).astype(float)
        silent = Examples(jnp.zeros((1, pre)), jnp.zeros((1, 1)))
        state = self.teacher.first_state(Episode(silent, silent, start), start_key)
        baited = jax.random.bernoulli(bait_key, jnp.asarray(self.probabilities[0]))
        before = (state, jnp.int32(0), baited, jnp.zeros(self.window), jnp.int32(0))
        which, support = jax.lax.scan(
            lambda carry, key: self._offer(odours, carry, key), before, jax.random.split(run_key, self.offers)
        )[1]
        if self.known:
            return Episode(support, support, start)
        again = odours[which] + self.sd * jax.random.normal(again_key, support.x.shape)
        support = eqx.tree_at(lambda it: it.x, support, again)
        return Episode(support, support, None)

    def _offer(self, odours: Float[Array, "2 inputs"], carry: PyTree, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        """One offer: from what was before it to what is after it, and what is recorded."""
        state, trial, baited, rewards, rewarded = carry
        odour_key, noise_key, choice_key, bait_key, key = jax.random.split(key, 5)
        which = jax.random.bernoulli(odour_key).astype(int)
        x = odours[which] + self.sd * jax.random.normal(noise_key, odours.shape[1:])
        goes_on = trial < self.trials * len(self.probabilities)
        logit = self.teacher.network(state.weights, x)
        accepts = jax.random.bernoulli(choice_key, jax.nn.sigmoid(logit[0])) & goes_on
        reward = baited[which] & accepts
        surprise = reward - jnp.mean(rewards)
        choice = jnp.where(goes_on, accepts.astype(float), jnp.nan)[None]
        example = Examples(x, choice, accepts.astype(float), surprise[None] * accepts)
        state = self.teacher.update(state, example, key)
        rewards = jnp.where(accepts, rewards.at[rewarded % self.window].set(reward.astype(float)), rewards)
        trial = trial + accepts
        block = jnp.minimum(trial // self.trials, len(self.probabilities) - 1)
        fresh = jax.random.bernoulli(bait_key, jnp.asarray(self.probabilities)[block])
        left = baited & ~(accepts & (jnp.arange(2) == which))
        baited = jnp.where(accepts, left | fresh, baited)
        return (state, trial, baited, rewards, rewarded + accepts), (which, example)
