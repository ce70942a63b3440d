"""Bayesian linear regression with unknown noise, one example after the other."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

Block = Callable[[Int[Array, ""]], tuple[Float[Array, "n features"], Float[Array, " n"], Float[Array, " n"]]]


class Posterior(eqx.Module):
    """What is known of ``y = w . x + noise``: ``w`` is normal given the noise, whose variance is inverse gamma.

    ``w ~ N(mean, s covariance)``, ``s ~ InverseGamma(shape, scale)``. What is added up are squares of what is left to
    explain, never of the targets themselves, so that single precision is enough.

    Source: Bishop (2006), chapter 3; Riquelme et al. (2018).
    """

    mean: Float[Array, " features"]
    covariance: Float[Array, "features features"]
    shape: Float[Array, ""]
    scale: Float[Array, ""]

    @staticmethod
    def prior(features: int, precision: float, shape: float, scale: float) -> "Posterior":
        """Before any example: weights of mean zero with so much precision."""
        return Posterior(
            jnp.zeros(features),
            jnp.eye(features) / precision,
            jnp.asarray(shape, jnp.result_type(float)),
            jnp.asarray(scale, jnp.result_type(float)),
        )

    @staticmethod
    def fitted(
        block: Block,
        blocks: Int[Array, ""] | int,
        guess: Float[Array, " features"],
        precision: float,
        shape: float,
        scale: float,
    ) -> "Posterior":
        """After many examples, in one pass.

        Args:
            block: inputs, targets, and whether they count, of the block with some number.
            blocks: how many there are.
            guess: weights that targets are compared to before anything is added up; the closer, the less is lost in
                rounding.
            precision: before any example.
            shape: likewise.
            scale: likewise.
        """

        def add(index: Int[Array, ""], sums: tuple[Array, ...]) -> tuple[Array, ...]:
            x, y, counted = block(index)
            here, left = x * counted[:, None], (y - x @ guess) * counted
            return tuple(map(jnp.add, sums, (here.T @ here, here.T @ left, left @ left, jnp.sum(counted))))

        features, dtype = len(guess), guess.dtype
        empty = tuple(jnp.zeros(size, dtype) for size in ((features, features), features, (), ()))
        gram, toward, squares, count = jax.lax.fori_loop(0, blocks, add, empty)
        eye = jnp.eye(features, dtype=dtype)
        factor = jax.scipy.linalg.cho_factor(gram + precision * eye)
        further = jax.scipy.linalg.cho_solve(factor, toward - precision * guess)
        mean = guess + further
        left = squares + further @ (gram @ further - 2 * toward) + precision * mean @ mean
        return Posterior(
            mean, jax.scipy.linalg.cho_solve(factor, eye), shape + count / 2, scale + jnp.maximum(left, 0) / 2
        )

    def after(self, x: Float[Array, " features"], y: Float[Array, ""]) -> "Posterior":
        """With one more example."""
        along = self.covariance @ x
        spread = 1 + x @ along
        surprise = y - x @ self.mean
        return Posterior(
            self.mean + along * (surprise / spread),
            self.covariance - jnp.outer(along, along / spread),
            self.shape + 0.5,
            self.scale + 0.5 * surprise**2 / spread,
        )

    def sample(self, key: Key[Array, ""], x: Float[Array, " features"]) -> Float[Array, ""]:
        """``w . x`` for weights drawn from what is known."""
        noise_key, weight_key = jax.random.split(key)
        variance = self.scale / jax.random.gamma(noise_key, self.shape)
        deviation = jnp.sqrt(jnp.maximum(variance * (x @ self.covariance @ x), 0))
        return x @ self.mean + deviation * jax.random.normal(weight_key)


def one_each(posterior: Posterior, count: int) -> Posterior:
    """The same for every action, with a leading axis of them."""
    return jax.tree.map(lambda leaf: jnp.repeat(leaf[None], count, axis=0), posterior)


def updated(posteriors: Posterior, action: Array, x: Float[Array, " features"], y: Float[Array, ""]) -> Posterior:
    """With one more example for one of the actions."""
    new = jax.tree.map(lambda leaf: leaf[action], posteriors).after(x, y)
    return jax.tree.map(lambda leaf, value: leaf.at[action].set(value), posteriors, new)
