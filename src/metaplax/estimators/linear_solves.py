"""The implicit estimators: one for every way to solve, or not to solve, the linear system."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from metaplax.estimators.implicit import (
    CURVES_DOWN,
    DIVERGES,
    FINE,
    NOT_CONVERGED,
    AbstractImplicit,
    Linearised,
    Solution,
    Vector,
)


class T1T2(AbstractImplicit):
    """The Jacobian is taken for the identity: ``v = g``.

    Time ``O(T P)``, memory ``O(P)``. Biased, except where the energy curves alike in all directions. Source: Luketina
    et al. (2016).
    """

    def solve(self, system: Linearised, gradient: Vector) -> Solution:
        return Solution(gradient, jnp.int32(FINE))


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
        symmetric = system.is_symmetric
        product = system.product if symmetric else lambda vector: system.transposed(system.product(vector))
        goal = (self.tolerance * jnp.linalg.norm(gradient)) ** 2

        def going_on(carry: tuple[Vector, Vector, Vector, Array, Array, Array]) -> Array:
            _, _, _, square, step, problem = carry
            return (step < self.steps) & (square > goal) & (problem == FINE)

        def once(
            carry: tuple[Vector, Vector, Vector, Array, Array, Array],
        ) -> tuple[Vector, Vector, Vector, Array, Array, Array]:
            vector, residual, direction, square, step, _ = carry
            image = product(direction) + self.damping * direction
            curvature = direction @ image
            # At convergence to the last digit the direction is noise; only what is beyond rounding counts.
            noise = jnp.finfo(square.dtype).eps * jnp.linalg.norm(direction) * jnp.linalg.norm(image)
            upwards = curvature > noise
            rate = jnp.where(upwards, square / jnp.where(upwards, curvature, 1), 0)
            vector, residual = vector + rate * direction, residual - rate * image
            now = residual @ residual
            problem = jnp.where(upwards, FINE, CURVES_DOWN).astype(jnp.int32)
            return vector, residual, residual + now / square * direction, now, step + 1, problem

        start = (jnp.zeros_like(gradient), gradient, gradient, gradient @ gradient, jnp.int32(0), jnp.int32(FINE))
        vector, _, _, square, _, problem = jax.lax.while_loop(going_on, once, start)
        unsolved = (self.tolerance > 0) & (square > goal) & (problem == FINE)
        found = vector if symmetric else system.product(vector)
        return Solution(found, jnp.where(unsolved, NOT_CONVERGED, problem))


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
        problem = jnp.where(residual <= 1, FINE, DIVERGES)
        unsolved = (self.tolerance > 0) & ~(residual <= self.tolerance) & (problem == FINE)
        return Solution(found, jnp.where(unsolved, NOT_CONVERGED, problem))


class ImplicitDirect(AbstractImplicit):
    """The Jacobian is written out as a matrix and the system solved by its factorisation.

    Exact at a minimum. Time ``O(T P + P^3)``, memory ``O(P^2)``: for small problems, and to measure others against.

    Args:
        damping: added to the diagonal.
        throw: see ``AbstractImplicit``.

    Source: Larsen et al. (1996); Bengio (2000).
    """

    damping: float = 0.0

    def solve(self, system: Linearised, gradient: Vector) -> Solution:
        identity = jnp.eye(len(gradient), dtype=gradient.dtype)
        # Row i of the result is J' e_i, that is, column i of J'.
        matrix = jax.vmap(system.transposed)(identity).T + self.damping * identity
        # lineax refuses vectors that are spread over devices, as trials are.
        found = jnp.linalg.solve(matrix, gradient)
        spectrum = jnp.linalg.eigvalsh(matrix) if system.is_symmetric else jnp.linalg.eigvals(matrix).real
        return Solution(found, jnp.where(jnp.min(spectrum) > 0, FINE, CURVES_DOWN))
