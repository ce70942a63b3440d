"""Bayesian linear regression with unknown noise variance, and Thompson sampling from one regression per action."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from metaplax.experiments.zucchet2022.bandits.wheel import ACTIONS

Vector = Float[Array, " features"]
Scalar = Float[Array, ""]
Block = Callable[[Int[Array, ""]], tuple[Float[Array, "n features"], Float[Array, " n"], Float[Array, " n"]]]


class Posterior(eqx.Module):
    """Posterior of the weights ``w`` and the noise variance ``s`` in ``y = w . x + noise``.

    ``s ~ InverseGamma(shape, scale)`` and, given ``s``, ``w ~ N(mean, s covariance)``. Only squares of residuals are
    summed, never squares of the targets themselves, so that single precision is enough.

    Source: Bishop (2006), chapter 3; Riquelme et al. (2018).
    """

    mean: Vector
    covariance: Float[Array, "features features"]
    shape: Scalar
    scale: Scalar

    @staticmethod
    def prior(features: int, precision: float, shape: float, scale: float) -> "Posterior":
        """The distribution before any example; weights have mean zero and the given precision."""
        numbers = (jnp.asarray(number, jnp.result_type(float)) for number in (shape, scale))
        return Posterior(jnp.zeros(features), jnp.eye(features) / precision, *numbers)

    @staticmethod
    def fit(
        block: Block, blocks: Int[Array, ""] | int, guess: Vector, precision: float, shape: float, scale: float
    ) -> "Posterior":
        """The posterior after many examples, in one pass over blocks of them, starting from a ``prior``.

        Args:
            block: function of the index of a block that returns its inputs, targets, and masks (1 or 0) which say
                which examples count.
            blocks: number of blocks.
            guess: weights whose residuals are summed; the closer to the solution, the smaller are rounding errors.
            precision: of the prior, as are ``shape`` and ``scale``.
        """

        def add(index: Int[Array, ""], sums: tuple[Array, ...]) -> tuple[Array, ...]:
            x, y, mask = block(index)
            x, residual = x * mask[:, None], (y - x @ guess) * mask
            return tuple(map(jnp.add, sums, (x.T @ x, x.T @ residual, residual @ residual, jnp.sum(mask))))

        features, dtype = len(guess), guess.dtype
        empty = tuple(jnp.zeros(size, dtype) for size in ((features, features), features, (), ()))
        gram, moment, squares, count = jax.lax.fori_loop(0, blocks, add, empty)
        eye = jnp.eye(features, dtype=dtype)
        factor = jax.scipy.linalg.cho_factor(gram + precision * eye)
        correction = jax.scipy.linalg.cho_solve(factor, moment - precision * guess)
        mean = guess + correction
        residuals = squares + correction @ (gram @ correction - 2 * moment) + precision * mean @ mean
        return Posterior(
            mean, jax.scipy.linalg.cho_solve(factor, eye), shape + count / 2, scale + jnp.maximum(residuals, 0) / 2
        )

    def update(self, x: Vector, y: Scalar) -> "Posterior":
        """The posterior after one more example."""
        along = self.covariance @ x
        spread = 1 + x @ along
        surprise = y - x @ self.mean
        return Posterior(
            self.mean + along * (surprise / spread),
            self.covariance - jnp.outer(along, along / spread),
            self.shape + 0.5,
            self.scale + 0.5 * surprise**2 / spread,
        )

    def sample(self, key: Key[Array, ""], x: Vector) -> Scalar:
        """``w . x`` for weights drawn from the posterior."""
        noise_key, weight_key = jax.random.split(key)
        variance = self.scale / jax.random.gamma(noise_key, self.shape)
        deviation = jnp.sqrt(jnp.maximum(variance * (x @ self.covariance @ x), 0))
        return x @ self.mean + deviation * jax.random.normal(weight_key)


def per_action(posterior: Posterior) -> Posterior:
    """The same distribution for every action, with a leading axis of actions."""
    return jax.tree.map(lambda leaf: jnp.repeat(leaf[None], ACTIONS, axis=0), posterior)


def update_action(posteriors: Posterior, action: Array, x: Vector, y: Scalar) -> Posterior:
    """The posteriors of all actions after one more example for one of them."""
    new = jax.tree.map(lambda leaf: leaf[action], posteriors).update(x, y)
    return jax.tree.map(lambda leaf, value: leaf.at[action].set(value), posteriors, new)


def thompson_sample(posteriors: Posterior, x: Vector, key: Key[Array, ""]) -> Int[Array, ""]:
    """The best action according to weights that are drawn from the posteriors of all actions."""
    keys = jax.random.split(key, ACTIONS)
    return jnp.argmax(jax.vmap(lambda posterior, key: posterior.sample(key, x))(posteriors, keys))
