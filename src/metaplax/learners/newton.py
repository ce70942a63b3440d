"""Minimising an energy to the last digit, and missing the minimum by a known distance: what theory is checked with."""

import jax
import jax.numpy as jnp
import lineax as lx
import optimistix as optx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Key, PyTree

from metaplax.learners.base import IncompatibleError, Loop
from metaplax.learners.energy import AbstractMinimiser, Augmented, EnergyState


class Newton(AbstractMinimiser):
    """Newton's method on the gradient of the energy, with all examples; for small, convex problems.

    Args:
        steps: at most so many.
        tolerance: absolute and relative, of step and gradient.
    """

    steps: int = 100
    tolerance: float = 1e-12

    def init(self, fast: PyTree) -> PyTree:
        del fast
        return ()

    def settle(self, energy: Augmented, state: EnergyState, key: Key[Array, ""], loop: Loop | None) -> EnergyState:
        del key, loop
        start, unravel = ravel_pytree(state.fast)

        def slope(fast: Array, _: None) -> Array:
            return jax.grad(lambda flat: energy(unravel(flat), state.buffers, training=False)[0])(fast)

        solver = optx.Newton(self.tolerance, self.tolerance, linear_solver=lx.AutoLinearSolver(well_posed=True))
        found = optx.root_find(slope, solver, start, max_steps=self.steps, throw=False).value
        return EnergyState(unravel(found), state.buffers, ())

    def check_unrolled(self) -> None:
        raise IncompatibleError("Newton's method is not differentiated step by step: use Descent for the inner loop")


class Inexact(AbstractMinimiser):
    """Another minimiser, whose solution is then missed by a distance in a random direction.

    Args:
        minimiser: what finds the solution.
        distance: Euclidean distance from it, the same in every phase; the direction differs.
    """

    minimiser: AbstractMinimiser
    distance: float

    def init(self, fast: PyTree) -> PyTree:
        return self.minimiser.init(fast)

    def settle(self, energy: Augmented, state: EnergyState, key: Key[Array, ""], loop: Loop | None) -> EnergyState:
        found = self.minimiser.settle(energy, state, key, loop)
        flat, unravel = ravel_pytree(found.fast)
        direction = jax.random.normal(jax.random.fold_in(key, 1), flat.shape, flat.dtype)
        missed = flat + self.distance * direction / jnp.linalg.norm(direction)
        return EnergyState(unravel(missed), found.buffers, found.minimiser)

    def check(self, support: int) -> None:
        self.minimiser.check(support)

    def check_unrolled(self) -> None:
        self.minimiser.check_unrolled()
