"""Meta-gradients by the implicit function theorem; subclasses differ in how they solve one linear system."""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.estimators.base import AbstractOnEnergies, Estimate
from metaplax.learners import AbstractEnergyLearner, AbstractLearner, EnergyState, join, split
from metaplax.tasks import Episode

Vector = Float[Array, " fast"]

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
    """An approximate solution of ``J' v = g``.

    Attributes:
        vector: ``v``.
        problem: index into ``PROBLEMS``.
    """

    vector: Vector
    problem: Int[Array, ""]


class Linearised(eqx.Module):
    """The direction of descent near the end of an inner loop, as a linear map ``J`` of the fast parameters.

    Where the direction is the gradient of an energy, ``J`` is its symmetric curvature.

    Attributes:
        learner: whose inner loop it is, with its meta-parameters.
        end: state at the end of the inner loop.
        support: examples that it has learned from.
    """

    learner: AbstractEnergyLearner
    end: EnergyState
    support: PyTree

    @property
    def is_symmetric(self) -> bool:
        """Whether the direction is the gradient of an energy."""
        return self.learner.descends_gradient

    def fast(self) -> Vector:
        """The fast parameters at the end, as one vector."""
        return ravel_pytree(self.end.fast)[0]

    def energy(self, fast: Vector, learner: AbstractEnergyLearner) -> Float[Array, ""]:
        """``E`` on all examples, with the network's buffers as they are."""
        unravel = ravel_pytree(self.end.fast)[1]
        return learner.nudged_energy(unravel(fast), self.end.buffers, self.support, training=False)[0]

    def direction(self, fast: Vector, learner: AbstractEnergyLearner | None = None) -> Vector:
        """The direction on all examples, for other fast parameters or meta-parameters."""
        learner = learner or self.learner
        if self.is_symmetric:
            return jax.grad(self.energy)(fast, learner)
        unravel = ravel_pytree(self.end.fast)[1]
        return ravel_pytree(learner.direction(unravel(fast), self.end.buffers, self.support)[0])[0]

    def product(self, vector: Vector) -> Vector:
        """``J v``."""
        return jax.jvp(self.direction, (self.fast(),), (vector,))[1]

    def transposed(self, vector: Vector) -> Vector:
        """``J' v``."""
        return self.product(vector) if self.is_symmetric else jax.vjp(self.direction, self.fast())[1](vector)[0]

    def along(self, vector: Vector, learner: AbstractEnergyLearner) -> Float[Array, ""]:
        """The direction times a vector, of which the derivative with respect to the meta-parameters is wanted."""
        if not self.is_symmetric:
            return self.direction(self.fast(), learner) @ vector
        unravel = ravel_pytree(self.end.fast)[1]
        regulariser = lambda fast: learner.regulariser(unravel(fast))  # noqa: E731
        energy = (lambda fast: self.energy(fast, learner)) if learner.trains_network else regulariser
        return jax.jvp(energy, (self.fast(),), (vector,))[1]


class AbstractImplicit(AbstractOnEnergies):
    """``d outer_loss/d theta - (d direction/d theta)' v`` with ``J' v = d outer_loss/d fast``.

    ``J`` is the Jacobian of the direction of descent with respect to the fast parameters: the curvature of the energy,
    if that is what the inner loop descends, or that of the rule that it follows instead. Everything is taken at the
    end of the inner loop, on all examples, with the running statistics of the network. Exact if the direction is zero
    there and the system is solved. Among the metrics are ``residual``, ``|J' v - g| / |g|``, and ``problem``, an index
    into ``PROBLEMS``.

    Args:
        throw: whether to raise ``RuntimeError`` with a sentence when there is a problem. Otherwise the best solution
            found is used, and NaN where that is not finite.
    """

    needs: ClassVar[str] = "an implicit meta-gradient linearises the descent of an energy"
    why_zero: ClassVar[str] = (
        "neither the energy nor the outer loss depends on any meta-parameter; give a pull, or use Checkpointed"
    )

    throw: bool = eqx.field(default=True, kw_only=True)

    @abstractmethod
    def solve(self, system: Linearised, gradient: Vector) -> Solution:
        """An approximate solution of ``J' v = g``."""

    def value_and_grad(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> Estimate:
        self.refuse_zero(learner, episode)
        parameters, constants = split(learner)
        energetic = lambda parameters: self.energetic(join(parameters, constants))  # noqa: E731
        given = energetic(parameters)
        init_key, adapt_key = jax.random.split(key)
        end = given.adapt(given.init(init_key), episode.support, adapt_key)
        loss, metrics = given.evaluate(end, episode.query)
        system, unravel = Linearised(given, end, episode.support), ravel_pytree(end.fast)[1]

        def outer_loss(fast: Vector, parameters: PyTree) -> Float[Array, ""]:
            return energetic(parameters).outer_loss(unravel(fast), end.buffers, episode.query, training=False)[0]

        gradient, direct = jax.grad(outer_loss, (0, 1))(system.fast(), parameters)
        solution = self.solve(system, gradient)
        vector, problem = solution.vector, solution.problem
        problem = jnp.where((problem == FINE) & ~jnp.all(jnp.isfinite(vector)), NOT_FINITE, problem)
        residual = jnp.linalg.norm(system.transposed(vector) - gradient) / jnp.linalg.norm(gradient)
        indirect = jax.grad(lambda parameters: system.along(vector, energetic(parameters)))(parameters)
        found = jax.tree.map(jnp.subtract, direct, indirect)
        if self.throw:
            found = eqx.branched_error_if(found, problem > 0, problem, list(PROBLEMS))
        return (loss, {**metrics, "residual": residual, "problem": problem.astype(loss.dtype)}), found

    def differentiated(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> PyTree:
        energetic = self.energetic(learner)
        end = jax.lax.stop_gradient(energetic.init(key))
        system = Linearised(energetic, end, episode.support)
        outer = energetic.outer_loss(end.fast, end.buffers, episode.query, training=False)[0]
        return system.along(jnp.ones_like(system.fast()), energetic), outer
