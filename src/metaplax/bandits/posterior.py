"""Bayesian linear regression with unknown noise, one example after the other."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


class Posterior(eqx.Module):
    """What is known of ``y = w . x + noise``: ``w`` is normal given the noise, whose variance is inverse gamma.

    ``w ~ N(mean, s covariance)``, ``s ~ InverseGamma(shape, scale)``. All formulas add up squared differences, never
    differences of large squares, so that single precision is enough.

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
        x: Float[Array, "n features"],
        y: Float[Array, " n"],
        counts: Float[Array, " n"],
        precision: float,
        shape: float,
        scale: float,
    ) -> "Posterior":
        """After many examples, of which those with a count of one are there and those with zero are not."""
        here = x * counts[:, None]
        inverse = here.T @ x + precision * jnp.eye(x.shape[1], dtype=x.dtype)
        factor = jax.scipy.linalg.cho_factor(inverse)
        mean = jax.scipy.linalg.cho_solve(factor, here.T @ y)
        left = jnp.sum(counts * (y - x @ mean) ** 2) + precision * jnp.sum(mean**2)
        return Posterior(
            mean,
            jax.scipy.linalg.cho_solve(factor, jnp.eye(x.shape[1], dtype=x.dtype)),
            shape + jnp.sum(counts) / 2,
            scale + left / 2,
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
