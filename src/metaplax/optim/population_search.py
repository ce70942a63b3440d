"""Outer optimisers that need no meta-gradient: they compare the losses of a population of meta-parameters."""

from functools import partial
from importlib import import_module
from math import inf
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key, PyTree

BROADCASTING = partial(jax.numpy_rank_promotion, "allow")
"""What evosax needs, also where this is refused otherwise."""
MOST = 1000
"""Meta-parameters at most where there is a covariance of all pairs of them."""


class Evosax(eqx.Module):
    """A strategy of evosax that keeps a distribution over meta-parameters, such as CMA-ES.

    It takes the place of an optax optimiser in ``meta_train``, with ``estimator=None``. A meta-step draws a population
    and runs every member on the same episodes. The meta-parameters are the mean of the distribution.

    Args:
        strategy: name of a strategy of evosax that has a standard deviation to start with, such as ``"CMA_ES"`` (full
            covariance: for up to a thousand meta-parameters), ``"Sep_CMA_ES"``, ``"SNES"``.
        population: how many members.
        sd: standard deviation at the start: one number, or a scale of its own for every leaf of the meta-parameters, as
            numbers or arrays in the structure of ``split(learner)[0]`` or a prefix of it. The search sees
            meta-parameters divided by it.

    Raises:
        ImportError: evosax is not installed.
        ValueError: there is no such strategy, fewer than four members, or a standard deviation is not positive.

    Source: Hansen (2016) for CMA-ES; Lange (2022) for evosax.
    """

    strategy: str = eqx.field(static=True, default="CMA_ES")
    population: int = eqx.field(static=True, default=16, kw_only=True)
    sd: PyTree = eqx.field(default=0.1, kw_only=True)

    def __check_init__(self):
        if self.population < 4:
            raise ValueError(f"a population has at least 4 members, not {self.population}")
        numbers = [sd for sd in jax.tree.leaves(self.sd) if not isinstance(sd, Tracer)]
        if not all(bool(jnp.all((jnp.asarray(sd) > 0) & (jnp.asarray(sd) < inf))) for sd in numbers):
            raise ValueError("the standard deviations of a search are positive numbers")
        made = self._made(jnp.zeros(2))
        if not hasattr(made, "get_mean") or not hasattr(made.default_params, "std_init"):
            raise ValueError(f"{self.strategy} keeps no distribution with a standard deviation: use CMA_ES, Sep_CMA_ES")

    def _made(self, flat: Array) -> Any:
        """The strategy of evosax for a vector of meta-parameters."""
        try:
            algorithms = import_module("evosax.algorithms")
        except ImportError as error:
            raise ImportError("evosax is not installed: pip install 'metaplax[evolution]'") from error
        known = algorithms.distribution_based_algorithms
        if self.strategy not in known:
            raise ValueError(f"evosax has no strategy {self.strategy!r}: it has {', '.join(known)}")
        try:
            # Its constants are no part of the program that is traced.
            with jax.ensure_compile_time_eval():
                return known[self.strategy](population_size=self.population, solution=jnp.zeros(flat.shape, flat.dtype))
        except TypeError as error:
            raise ValueError(f"{self.strategy} needs more than a population: use CMA_ES, Sep_CMA_ES or SNES") from error

    def _params(self, made: Any) -> Any:
        with jax.ensure_compile_time_eval():
            return made.default_params.replace(std_init=1.0)

    def check(self, parameters: PyTree) -> None:
        """Refuse meta-parameters, of which shapes are enough, that the strategy cannot search.

        Raises:
            ValueError: there are none, or too many for a covariance of all pairs.
        """
        count = sum(leaf.size for leaf in jax.tree.leaves(parameters))
        if not count:
            raise ValueError("the learner has no meta-parameters: every array in it is frozen")
        two = self._made(jnp.zeros(2))
        state = jax.eval_shape(two.init, jax.random.key(0), jnp.zeros(2), self._params(two))
        if count > MOST and any(jnp.shape(leaf) == (2, 2) for leaf in jax.tree.leaves(state)):
            raise ValueError(
                f"{self.strategy} keeps a covariance of all pairs of meta-parameters, and this learner has {count:,} of"
                " them: use Sep_CMA_ES or SNES, an estimator with an optax optimiser, or freeze a part"
            )

    def init(self, parameters: PyTree) -> PyTree:
        """Its state before the first meta-step."""
        flat, _ = self._flat(parameters)
        made = self._made(flat)
        with BROADCASTING():
            return _strong(made.init(jax.random.key(0), flat, self._params(made)))

    def ask(self, state: PyTree, parameters: PyTree, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        """A population, with a leading axis of members in the structure of the parameters, and the state then."""
        flat, back = self._flat(parameters)
        made = self._made(flat)
        with BROADCASTING():
            population, state = made.ask(key, state, self._params(made))
        return jax.vmap(back)(population), _strong(state)

    def tell(
        self,
        state: PyTree,
        population: PyTree,
        losses: Float[Array, " members"],
        parameters: PyTree,
        key: Key[Array, ""],
    ) -> tuple[PyTree, PyTree]:
        """The mean of the distribution and the state after a meta-step; losses that are not finite count as the worst.

        At least one of them must be finite.
        """
        flat, back = self._flat(parameters)
        made = self._made(flat)
        scaled = jax.vmap(lambda member: self._flat(member)[0])(population)
        worst = jnp.max(jnp.where(jnp.isfinite(losses), losses, -jnp.inf))
        told = jnp.where(jnp.isfinite(losses), losses, worst)
        with BROADCASTING():
            state, _ = made.tell(key, scaled, told, state, self._params(made))
        return back(state.mean), _strong(state)

    def _flat(self, parameters: PyTree) -> tuple[Array, Any]:
        """Meta-parameters divided by their standard deviations as a vector, and the way back."""
        spread = lambda sd, leaf: jnp.broadcast_to(jnp.asarray(sd, leaf.dtype), leaf.shape)  # noqa: E731
        scales = jax.tree.map(lambda sd, part: jax.tree.map(lambda it: spread(sd, it), part), self.sd, parameters)
        flat, unravel = ravel_pytree(jax.tree.map(jnp.divide, parameters, scales))
        return flat, lambda vector: jax.tree.map(jnp.multiply, unravel(vector), scales)


def _strong(state: PyTree) -> PyTree:
    """Arrays whose types do not depend on what they are combined with, as programs for several steps need them."""
    return jax.tree.map(lambda leaf: jnp.array(leaf, jnp.result_type(leaf)), state)
