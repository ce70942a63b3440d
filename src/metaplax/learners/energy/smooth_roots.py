"""Square roots whose derivative at zero is zero, in functions that were written with ordinary ones.

Adam divides by the root of a mean of squared gradients. Where all gradients have been exactly zero, such as those of
weights from an input that is always zero, reverse mode multiplies an infinite slope by zero and gives NaN, although
the derivative exists: the update is zero whatever that root is. The functions here compute the same numbers, with a
root whose slope at zero counts as zero.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Literal
from jaxtyping import Array


@jax.custom_jvp
def _sqrt(x: Array) -> Array:
    return jax.lax.sqrt(x)


@_sqrt.defjvp
def _sqrt_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    root = jax.lax.sqrt(primals[0])
    return root, jnp.where(root > 0, 0.5 / jnp.where(root > 0, root, 1), 0) * tangents[0]


@jax.custom_jvp
def _rsqrt(x: Array) -> Array:
    return jax.lax.rsqrt(x)


@_rsqrt.defjvp
def _rsqrt_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,) = primals
    inverse = jax.lax.rsqrt(x)
    return inverse, jnp.where(x > 0, -0.5 * inverse / jnp.where(x > 0, x, 1), 0) * tangents[0]


ROOTS: dict[str, Callable[[Array], Array]] = {"sqrt": _sqrt, "rsqrt": _rsqrt}
CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr"}
"""Primitives that call a program, and under which name they hold it; roots inside of it are replaced as well."""


def with_smooth_roots(function: Callable) -> Callable:
    """The same function, whose square roots have a slope of zero at zero."""

    def replaced(*arguments: Any) -> Any:
        program, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        results = _evaluate(program, jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return replaced


def _evaluate(program: ClosedJaxpr, arguments: list[Any]) -> list[Any]:
    """Run a program equation by equation."""
    jaxpr = program.jaxpr
    values: dict[Any, Any] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*program.consts, *arguments), strict=True))
    read = lambda atom: atom.val if isinstance(atom, Literal) else values[atom]  # noqa: E731
    for equation in jaxpr.eqns:
        given, name = [read(atom) for atom in equation.invars], equation.primitive.name
        if name in ROOTS:
            found = [ROOTS[name](*given)]
        elif name in CALLS:
            found = _evaluate(equation.params[CALLS[name]], given)
        else:
            found = equation.primitive.bind(*given, **equation.params)
            found = found if equation.primitive.multiple_results else [found]
        values.update(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]
