"""Newton's method, and minima that are missed by a known distance: for checking theory."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.learners.base import IncompatibleError, Loop
from metaplax.learners.energy.base import AbstractMinimiser, EnergyState, NudgedEnergy

Vector = Float[Array, " fast"]


class Newton(AbstractMinimiser):
    """Newton's method on the direction of descent, with all examples; for small, convex problems.

    Args:
        steps: largest number of steps.
        tolerance: size of the last change at which it stops, relative to one plus the size of the parameters.
    """

    steps: int = 100
    tolerance: float = 1e-13

    def init(self, fast: PyTree) -> PyTree:
        del fast
        return ()

    def minimise(self, energy: NudgedEnergy, state: EnergyState, key: Key[Array, ""], loop: Loop | None) -> EnergyState:
        del key, loop
        start, unravel = ravel_pytree(state.fast)

        def direction(fast: Vector) -> Vector:
            if energy.learner.descends_gradient:
                return jax.grad(lambda fast: energy(unravel(fast), state.buffers, training=False)[0])(fast)
            return ravel_pytree(energy.direction(unravel(fast), state.buffers)[0])[0]

        def going_on(carry: tuple[Vector, Float[Array, ""], Int[Array, ""]]) -> Array:
            return (carry[1] > self.tolerance) & (carry[2] < self.steps)

        def once(
            carry: tuple[Vector, Float[Array, ""], Int[Array, ""]],
        ) -> tuple[Vector, Float[Array, ""], Int[Array, ""]]:
            fast, _, step = carry
            change = jnp.linalg.solve(jax.jacfwd(direction)(fast), direction(fast))
            return fast - change, jnp.linalg.norm(change) / (1 + jnp.linalg.norm(fast)), step + 1

        # optimistix has this too, but fails on arrays that are sharded over devices, as trials are.
        found, _, _ = jax.lax.while_loop(going_on, once, (start, jnp.asarray(jnp.inf, start.dtype), jnp.int32(0)))
        return EnergyState(unravel(found), state.buffers, ())

    def check_unrolled(self) -> None:
        raise IncompatibleError("Newton's method is not differentiated step by step: use Descent for the inner loop")


class Inexact(AbstractMinimiser):
    """Another minimiser, whose solution is then moved by a distance in a random direction.

    Args:
        minimiser: finds the solution.
        distance: Euclidean distance from it, the same in every phase; the direction differs.
    """

    minimiser: AbstractMinimiser
    distance: float

    def init(self, fast: PyTree) -> PyTree:
        return self.minimiser.init(fast)

    def minimise(self, energy: NudgedEnergy, state: EnergyState, key: Key[Array, ""], loop: Loop | None) -> EnergyState:
        found = self.minimiser.minimise(energy, state, key, loop)
        flat, unravel = ravel_pytree(found.fast)
        direction = jax.random.normal(jax.random.fold_in(key, 1), flat.shape, flat.dtype)
        missed = flat + self.distance * direction / jnp.linalg.norm(direction)
        return EnergyState(unravel(missed), found.buffers, found.minimiser)

    def check(self, support: int) -> None:
        self.minimiser.check(support)

    def check_unrolled(self) -> None:
        self.minimiser.check_unrolled()
