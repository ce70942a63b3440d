"""Counts the floating-point operations of a program from its shapes, without running or compiling it."""

from collections.abc import Callable
from math import prod
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn
from jaxtyping import PyTree


def operations(function: Callable[[], PyTree]) -> int:
    """Floating-point operations in the matrix products and convolutions of a function, with all passes of its loops.

    It is a lower bound: nothing else is counted, a loop whose length depends on numbers counts as one pass, and of the
    branches of a choice the cheapest one counts.
    """
    return _of_program(jax.make_jaxpr(function)().jaxpr)


def _of_program(program: Jaxpr) -> int:
    return sum(_of_step(step) for step in program.eqns)


def _of_step(step: JaxprEqn) -> int:
    name = step.primitive.name
    if name == "dot_general":
        (summed, _), _ = step.params["dimension_numbers"]
        return 2 * prod(_shape(step.outvars[0])) * prod(_shape(step.invars[0])[axis] for axis in summed)
    if name == "conv_general_dilated":
        kernel = _shape(step.invars[1])
        outputs = kernel[step.params["dimension_numbers"].rhs_spec[0]]
        return 2 * prod(_shape(step.outvars[0])) * prod(kernel) // outputs
    inside = [_of_program(program) for value in step.params.values() for program in _programs(value)]
    if name == "cond":
        return min(inside)
    return sum(inside) * (step.params["length"] if name == "scan" else 1)


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def _programs(value: Any) -> list[Jaxpr]:
    """The programs in a parameter of a step."""
    if isinstance(value, ClosedJaxpr):
        return [value.jaxpr]
    if isinstance(value, Jaxpr):
        return [value]
    return [program for one in value for program in _programs(one)] if isinstance(value, tuple | list) else []
