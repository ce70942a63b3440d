"""Meta-gradients by the implicit function theorem; they differ in how they solve one linear system, if they do."""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from metaplax.estimators.base import RESULTS, AbstractOnEnergies, MetaGradient, parametrised
from metaplax.learners import AbstractEnergyLearner, AbstractLearner, EnergyState
from metaplax.tasks import Episode

Vector = Float[Array, " fast"]

Solution = tuple[Vector, RESULTS]
"""An approximate solution of ``J' v = g``, and what is wrong with it."""


class Linearised(eqx.Module):
    """The direction of descent near the end of an inner loop, as a linear map ``J`` of the fast parameters.

    Where the direction is the gradient of an energy, ``J`` is its symmetric curvature. ``end`` is the state at the end
    of the inner loop, which has learned from the examples in ``support``.
    """

    learner: AbstractEnergyLearner
    end: EnergyState
    support: PyTree

    def fast(self) -> Vector:
        """The fast parameters at the end, as one vector."""
        return ravel_pytree(self.end.fast)[0]

    def _as_tree(self, fast: Vector) -> PyTree:
        return ravel_pytree(self.end.fast)[1](fast)

    def energy(self, fast: Vector, learner: AbstractEnergyLearner) -> Float[Array, ""]:
        """``E`` on all examples, with the network's buffers as they are."""
        return learner.nudged_energy(self._as_tree(fast), self.end.buffers, self.support, training=False)[0]

    def direction(self, fast: Vector, learner: AbstractEnergyLearner | None = None) -> Vector:
        """The direction on all examples, for other fast parameters or meta-parameters."""
        learner = learner or self.learner
        if self.learner.descends_gradient:
            return jax.grad(self.energy)(fast, learner)
        return ravel_pytree(learner.direction(self._as_tree(fast), self.end.buffers, self.support)[0])[0]

    def product(self, vector: Vector) -> Vector:
        """``J v``."""
        return jax.jvp(self.direction, (self.fast(),), (vector,))[1]

    def transposed(self, vector: Vector) -> Vector:
        """``J' v``."""
        if self.learner.descends_gradient:
            return self.product(vector)
        return jax.vjp(self.direction, self.fast())[1](vector)[0]

    def along(self, vector: Vector, learner: AbstractEnergyLearner) -> Float[Array, ""]:
        """The direction times a vector, of which the derivative with respect to the meta-parameters is wanted."""
        if not self.learner.descends_gradient:
            return self.direction(self.fast(), learner) @ vector

        def energy(fast: Vector) -> Float[Array, ""]:
            return self.energy(fast, learner) if learner.trains_network else learner.regulariser(self._as_tree(fast))

        return jax.jvp(energy, (self.fast(),), (vector,))[1]


class AbstractImplicit(AbstractOnEnergies):
    """``d outer_loss/d theta - (d direction/d theta)' v`` with ``J' v = d outer_loss/d fast``.

    ``J`` is the Jacobian of the direction of descent with respect to the fast parameters: the curvature of the energy,
    if that is what the inner loop descends, or that of the rule that it follows instead. Everything is taken at the
    end of the inner loop, on all examples, with the running statistics of the network. Exact if the direction is zero
    there and the system is solved. Among the metrics is ``residual``, ``|J' v - g| / |g|``.

    Args:
        throw: whether to raise ``RuntimeError`` with the sentence of the ``result`` when something is wrong. Otherwise
            the best solution found is used, and NaN where that is not finite.
    """

    needs: ClassVar[str] = "an implicit meta-gradient linearises the descent of an energy"
    why_zero: ClassVar[str] = (
        "neither the energy nor the outer loss depends on any meta-parameter; give a pull, or use Checkpointed"
    )

    may_report: ClassVar[tuple[str, ...]] = ("singular",)

    throw: bool = eqx.field(default=True, kw_only=True)

    @abstractmethod
    def solve(self, system: Linearised, gradient: Vector) -> Solution:
        """An approximate solution of ``J' v = g``."""

    def value_and_grad(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> MetaGradient:
        self.refuse_zero(learner, episode)
        parameters, learner_of = parametrised(learner)
        energetic = lambda parameters: self.energetic(learner_of(parameters))  # noqa: E731
        given = energetic(parameters)
        init_key, adapt_key = jax.random.split(key)
        end = given.adapt(given.init(init_key), episode.support, adapt_key)
        loss, metrics = given.evaluate(end, episode.query)
        system, unravel = Linearised(given, end, episode.support), ravel_pytree(end.fast)[1]

        def outer_loss(fast: Vector, parameters: PyTree) -> Float[Array, ""]:
            return energetic(parameters).outer_loss(unravel(fast), end.buffers, episode.query, training=False)[0]

        gradient, direct = jax.grad(outer_loss, (0, 1))(system.fast(), parameters)
        vector, result = self.solve(system, gradient)
        result = _if_fine(result, ~jnp.all(jnp.isfinite(vector)), RESULTS.singular)
        residual = jnp.linalg.norm(system.transposed(vector) - gradient) / jnp.linalg.norm(gradient)
        indirect = jax.grad(lambda parameters: system.along(vector, energetic(parameters)))(parameters)
        found = jax.tree.map(jnp.subtract, direct, indirect)
        if self.throw:
            found = result.error_if(found, result != RESULTS.successful)
        return MetaGradient(loss, {**metrics, "residual": residual}, found, result)

    def differentiated(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> PyTree:
        energetic = self.energetic(learner)
        end = jax.lax.stop_gradient(energetic.init(key))
        system = Linearised(energetic, end, episode.support)
        outer = energetic.outer_loss(end.fast, end.buffers, episode.query, training=False)[0]
        return system.along(jnp.ones_like(system.fast()), energetic), outer


class T1T2(AbstractImplicit):
    """The Jacobian is taken for the identity: ``v = g``.

    Time ``O(T P)``, memory ``O(P)``. Biased, except where the energy curves alike in all directions. Source: Luketina
    et al. (2016).
    """

    def solve(self, system: Linearised, gradient: Vector) -> Solution:
        return gradient, RESULTS.successful


Iterate = tuple[Vector, Vector, Vector, Float[Array, ""], Int[Array, ""], Bool[Array, ""]]
"""Of conjugate gradients: solution, residual, direction, squared norm of the residual, steps, curving upwards."""


class ConjugateGradient(AbstractImplicit):
    """The system is solved by conjugate gradients: on ``J`` itself if it is symmetric, else on ``J' J``.

    Time ``O((T + steps) P)``, memory ``O(P)``. Stops when the energy is found to curve downwards, at the last iterate
    before that. Source: Pedregosa (2016); Rajeswaran et al. (2019); Steihaug (1983) for the stop.

    Args:
        steps: products with the matrix at most.
        damping: added to the diagonal of the matrix.
        tolerance: of the residual relative to the right-hand side; 0 takes all steps, whatever the residual.
        throw: see ``AbstractImplicit``.

    Raises:
        ValueError: ``steps`` is below one, or ``damping`` or ``tolerance`` is negative.
    """

    may_report: ClassVar[tuple[str, ...]] = ("curves_down", "not_converged", "singular")

    steps: int = 100
    damping: float = 0.0
    tolerance: float = 0.0

    def __check_init__(self):
        if self.steps < 1 or not self.damping >= 0 or not self.tolerance >= 0:
            raise ValueError(
                "conjugate gradients take at least 1 step, with a damping and a tolerance that are not negative; not"
                f" {self.steps}, {self.damping} and {self.tolerance}"
            )

    def solve(self, system: Linearised, gradient: Vector) -> Solution:
        # lineax has conjugate gradients too, but does not tell when p' H p turns negative.
        # For J' v = g without symmetry: solve J' J u = g, which is symmetric and positive, and take v = J u.
        symmetric = system.learner.descends_gradient
        product = system.product if symmetric else lambda vector: system.transposed(system.product(vector))
        goal = (self.tolerance * jnp.linalg.norm(gradient)) ** 2

        def going_on(carry: Iterate) -> Array:
            _, _, _, square, step, upwards = carry
            return (step < self.steps) & (square > goal) & upwards

        def once(carry: Iterate) -> Iterate:
            vector, residual, direction, square, step, _ = carry
            image = product(direction) + self.damping * direction
            curvature = direction @ image
            # At convergence to the last digit the direction is noise; only what is beyond rounding counts.
            noise = jnp.finfo(square.dtype).eps * jnp.linalg.norm(direction) * jnp.linalg.norm(image)
            upwards = curvature > noise
            rate = jnp.where(upwards, square / jnp.where(upwards, curvature, 1), 0)
            vector, residual = vector + rate * direction, residual - rate * image
            now = residual @ residual
            return vector, residual, residual + now / square * direction, now, step + 1, upwards

        start = (jnp.zeros_like(gradient), gradient, gradient, gradient @ gradient, jnp.int32(0), jnp.bool_(True))
        vector, _, _, square, _, upwards = jax.lax.while_loop(going_on, once, start)
        result = RESULTS.where(upwards, RESULTS.successful, RESULTS.curves_down)
        found = vector if symmetric else system.product(vector)
        return found, _if_fine(result, (self.tolerance > 0) & (square > goal), RESULTS.not_converged)


class Neumann(AbstractImplicit):
    """The system is solved by a truncated Neumann series: ``v = rate * sum_{j <= terms} (1 - rate J')^j g``.

    It is what recurrent backpropagation does for an inner loop of gradient descent, whose linearised steps these
    are. Time ``O((T + terms) P)``, memory ``O(P)``. Converges for rates below two over the largest curvature, if all
    curvatures are positive. Source: Lorraine et al. (2020); Liao et al. (2018) for recurrent backpropagation.

    Args:
        rate: of the series.
        terms: products with the Jacobian.
        tolerance: of the residual relative to the right-hand side; 0 is content with any.
        throw: see ``AbstractImplicit``.

    Raises:
        ValueError: ``rate`` is not positive, ``terms`` is below one or ``tolerance`` is negative.
    """

    may_report: ClassVar[tuple[str, ...]] = ("diverges", "not_converged", "singular")

    rate: float
    terms: int = 100
    tolerance: float = 0.0

    def __check_init__(self):
        if not 0 < self.rate < float("inf") or self.terms < 1 or not self.tolerance >= 0:
            raise ValueError(
                "a Neumann series has a positive rate, at least 1 term and a tolerance that is not negative; not"
                f" {self.rate}, {self.terms} and {self.tolerance}"
            )

    def solve(self, system: Linearised, gradient: Vector) -> Solution:
        import optimistix as optx  # slow to import

        def once(vector: Vector, _: None) -> Vector:
            return vector + self.rate * (gradient - system.transposed(vector))

        # Tolerances of zero: the published method takes all its terms.
        solver = optx.FixedPointIteration(rtol=0.0, atol=0.0)
        found = optx.fixed_point(once, solver, self.rate * gradient, max_steps=self.terms, throw=False).value
        residual = jnp.linalg.norm(gradient - system.transposed(found)) / jnp.linalg.norm(gradient)
        result = RESULTS.where(residual <= 1, RESULTS.successful, RESULTS.diverges)
        return found, _if_fine(result, (self.tolerance > 0) & ~(residual <= self.tolerance), RESULTS.not_converged)


class ImplicitDirect(AbstractImplicit):
    """The Jacobian is written out as a matrix and the system solved by its factorisation.

    Exact at a minimum. Time ``O(T P + P^3)``, memory ``O(P^2)``: for small problems, and to measure others against.

    Args:
        damping: added to the diagonal.
        throw: see ``AbstractImplicit``.

    Source: Larsen et al. (1996); Bengio (2000).
    """

    may_report: ClassVar[tuple[str, ...]] = ("curves_down", "singular")

    damping: float = 0.0

    def solve(self, system: Linearised, gradient: Vector) -> Solution:
        identity = jnp.eye(len(gradient), dtype=gradient.dtype)
        # Row i of the result is J' e_i, that is, column i of J'.
        matrix = jax.vmap(system.transposed)(identity).T + self.damping * identity
        # lineax refuses vectors that are spread over devices, as trials are.
        found = jnp.linalg.solve(matrix, gradient)
        spectrum = jnp.linalg.eigvalsh(matrix) if system.learner.descends_gradient else jnp.linalg.eigvals(matrix).real
        return found, RESULTS.where(jnp.min(spectrum) > 0, RESULTS.successful, RESULTS.curves_down)


def _if_fine(result: RESULTS, wrong: Bool[Array, ""], what: RESULTS) -> RESULTS:
    """A result, or ``what`` if nothing else was wrong but this is."""
    return RESULTS.where((result == RESULTS.successful) & wrong, what, result)
