"""How far a contrastive meta-gradient can be from the exact one, by constants that are estimated on the problem."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key

from metaplax.estimators import Contrastive
from metaplax.estimators.base import parametrised
from metaplax.learners import AbstractEnergyLearner
from metaplax.tasks import Episode

POINTS = (0.0, *(10.0 ** (power / 3) for power in range(-12, 1)))
"""Where on the way to the nudged minimum constants are estimated, as fractions of the nudging factor."""


def contrastive_bound(
    learner: AbstractEnergyLearner,
    exact: AbstractEnergyLearner,
    estimator: Contrastive,
    episode: Episode,
    key: Key[Array, ""],
) -> Float[Array, ""]:
    """An upper bound of the Euclidean error of the forward contrast, for convex losses.

    With ``phi(b)`` the minimum of ``E + b * outer_loss`` and ``h = dE/dtheta``, the estimate is ``(h(phi(beta)) -
    h(phi(0))) / beta`` and the meta-gradient the derivative of ``h(phi(b))`` at 0. From ``phi' = -(E'' + b outer'')^-1
    outer'`` follows that the error is at most::

        B (free miss + nudged miss) / beta
          + min(beta / 2 * (B (2 L G / mu^2 + rho G^2 / mu^3) + B2 G^2 / mu^2), 2 B G / mu)

    ``mu`` is the least curvature of ``E``, ``rho`` the Lipschitz constant of its Hessian, ``L`` the largest curvature
    and ``G`` the largest slope of the outer loss, ``B`` the Lipschitz constant of ``h`` and ``B2`` that of its
    Jacobian. They are the extremes over ``POINTS`` of the way, not over all of it, and misses are measured. It is of
    the shape of the published bound, ``B (delta_0 + delta_beta) / beta + C beta / (1 + beta)``: Zucchet et al. (2022),
    section 4. Meta-parameters that occur in the losses of the data are not covered.

    Args:
        learner: the learner whose minimiser may miss.
        exact: the same with a minimiser that does not.
        estimator: the forward contrast.
        episode: the episode.
        key: randomness of the estimator.
    """
    parameters, learner_of = parametrised(exact)
    init_key, free_key = jax.random.split(key)
    start = learner.init(init_key)
    free = learner.adapt(start, episode.support, free_key)
    nudging = {"query": episode.query, "beta": estimator.beta}
    nudged_key = jax.random.fold_in(free_key, 1)
    nudged = learner.minimise(free, episode.support, nudged_key, minimiser=estimator.nudged, **nudging)
    unravel = ravel_pytree(free.fast)[1]

    def minimum(beta: Float[Array, ""]) -> Float[Array, " fast"]:
        found = exact.minimise(start, episode.support, key, query=episode.query, beta=beta)
        return ravel_pytree(found.fast)[0]

    def inner(fast: Float[Array, " fast"]) -> Float[Array, ""]:
        return exact.nudged_energy(unravel(fast), free.buffers, episode.support, training=False)[0]

    def outer(fast: Float[Array, " fast"]) -> Float[Array, ""]:
        return exact.outer_loss(unravel(fast), free.buffers, episode.query, training=False)[0]

    def dependence(fast: Float[Array, " fast"]) -> Float[Array, " parameters"]:
        return ravel_pytree(jax.grad(lambda given: learner_of(given).regulariser(unravel(fast)))(parameters))[0]

    def constants(beta: Float[Array, ""]) -> tuple[Array, ...]:
        fast = minimum(beta)
        slope, curvature = jax.grad(outer)(fast), jax.hessian(outer)(fast)
        velocity = jnp.linalg.solve(jax.hessian(inner)(fast) + beta * curvature, slope)
        own_curvature, bend = jax.jvp(jax.hessian(inner), (fast,), (velocity,))
        jacobian, second = jax.jacfwd(dependence)(fast), jax.jacfwd(jax.jacfwd(dependence))(fast)
        return (
            fast, 1 / jnp.linalg.eigvalsh(own_curvature)[0], jnp.linalg.norm(bend, 2) / jnp.linalg.norm(velocity),
            jnp.linalg.eigvalsh(curvature)[-1], jnp.linalg.norm(slope), jnp.linalg.norm(jacobian, 2),
            jnp.linalg.norm(second.reshape(-1, fast.size), 2),
        )  # fmt: skip

    minima, *each = jax.lax.map(constants, estimator.beta * jnp.asarray(POINTS))
    flat, rho, steep, slope, first, second = (jnp.max(one) for one in each)
    ends = ((free.fast, minima[0]), (nudged.fast, minima[-1]))
    misses = [jnp.linalg.norm(ravel_pytree(fast)[0] - minimum) for fast, minimum in ends]
    missed = (first + second * jnp.maximum(*misses)) * sum(misses) / estimator.beta
    speed = slope * flat
    growth = first * (2 * steep * speed * flat + rho * speed**2 * flat) + second * speed**2
    return missed + jnp.minimum(estimator.beta / 2 * growth, 2 * first * speed)
