"""Meta-gradients by the implicit function theorem; subclasses differ in how they solve one linear system."""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.estimators.base import AbstractEstimator, require_energy
from metaplax.learners import AbstractEnergyLearner, AbstractLearner, join, split
from metaplax.learners.base import Metrics
from metaplax.tasks import Episode

Vector = Float[Array, " fast"]
Product = Callable[[Vector], Vector]

PROBLEMS = (
    "",
    "the energy curves downwards where the inner loop has ended, so that it is no minimum: take more inner steps, or"
    " more damping",
    "the linear system of the implicit gradient was not solved to the tolerance: allow more steps, more damping or a"
    " larger tolerance",
    "the Neumann series diverges: its rate must be below two over the largest curvature of the energy",
    "the linear system of the implicit gradient has no finite solution: the energy is flat or not finite there",
)
"""What may be wrong with a solution, by code; 0 is nothing."""
FINE, CURVES_DOWN, NOT_CONVERGED, DIVERGES, NOT_FINITE = range(5)


class Solution(eqx.Module):
    """An approximate solution of ``H v = g``.

    Attributes:
        vector: ``v``.
        problem: index into :data:`PROBLEMS`.
    """

    vector: Vector
    problem: Int[Array, ""]


class AbstractImplicit(AbstractEstimator):
    """``dC/d theta - (d^2 E / d theta d fast) v`` with ``H v = dC/d fast`` and ``H = d^2 E / d fast^2``.

    Everything is taken at the end of the inner loop, on all examples, with the running statistics of the network. Exact
    if that is a minimum and the system is solved. Among the metrics are ``residual``, ``|H v - g| / |g|``, and
    ``problem``, an index into :data:`~metaplax.estimators.PROBLEMS`.

    Args:
        throw: whether to raise ``RuntimeError`` with a sentence when there is a problem. Otherwise the best there is is
            returned, and NaN where that is not finite.
    """

    throw: bool = eqx.field(default=True, kw_only=True)

    @abstractmethod
    def solve(self, product: Product, gradient: Vector) -> Solution:
        """An approximate solution of ``H v = g``, given ``H`` by its products with vectors."""

    def check(self, learner: AbstractLearner) -> None:
        super().check(learner)
        require_energy(learner, f"{type(self).__name__} needs the curvature of an energy").check_charged()

    def value_and_grad(
        self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]
    ) -> tuple[tuple[Float[Array, ""], Metrics], AbstractLearner]:
        parameters, constants = split(learner)

        def energetic(parameters: PyTree) -> AbstractEnergyLearner:
            return require_energy(join(parameters, constants), "an implicit gradient needs the curvature of an energy")

        given = energetic(parameters)
        init_key, adapt_key = jax.random.split(key)
        end = given.adapt(given.init(init_key), episode.support, adapt_key)
        loss, metrics = given.evaluate(end, episode.query)
        fast, unravel = ravel_pytree(end.fast)

        def energy(fast: Vector, parameters: PyTree) -> Float[Array, ""]:
            part = energetic(parameters)
            return part.nudged_energy(unravel(fast), end.buffers, episode.support, training=False)[0]

        def outer(fast: Vector, parameters: PyTree) -> Float[Array, ""]:
            return energetic(parameters).outer_loss(unravel(fast), end.buffers, episode.query, training=False)[0]

        def product(vector: Vector) -> Vector:
            return jax.jvp(lambda fast: jax.grad(energy)(fast, parameters), (fast,), (vector,))[1]

        gradient, direct = jax.grad(outer, (0, 1))(fast, parameters)
        solution = self.solve(product, gradient)
        vector, problem = solution.vector, solution.problem
        problem = jnp.where((problem == FINE) & ~jnp.all(jnp.isfinite(vector)), NOT_FINITE, problem)
        residual = jnp.linalg.norm(product(vector) - gradient) / jnp.linalg.norm(gradient)

        def felt(parameters: PyTree) -> Float[Array, ""]:
            if given.slow_in_network:
                return jax.jvp(lambda fast: energy(fast, parameters), (fast,), (vector,))[1]
            return jax.jvp(lambda fast: energetic(parameters).regulariser(unravel(fast)), (fast,), (vector,))[1]

        found = jax.tree.map(jnp.subtract, direct, jax.grad(felt)(parameters))
        if self.throw:
            found = eqx.branched_error_if(found, problem > 0, problem, list(PROBLEMS))
        return (loss, {**metrics, "residual": residual, "problem": problem.astype(loss.dtype)}), found
