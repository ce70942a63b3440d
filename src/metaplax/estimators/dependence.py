"""Which inputs a program depends on: the one place that relies on JAX's dead-code elimination."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jax.extend.core import Jaxpr
from jax.interpreters.partial_eval import dce_jaxpr
from jaxtyping import PyTree


def used_inputs(program: Jaxpr) -> list[bool]:
    """For every input of a program, whether any output depends on it."""
    return list(dce_jaxpr(program, [True] * len(program.outvars))[1])


def has_derivative(function: Callable, parameters: PyTree, *others: PyTree) -> bool:
    """Whether the derivative of a function with respect to its first argument is anything but zero by construction.

    Nothing is computed: the program of the derivative is traced on shapes, and it is asked whether its result depends
    on the direction in which the derivative is taken. Arguments are arrays, or shapes and dtypes; ``parameters`` are
    floating-point.
    """

    def tangent(parameters: PyTree, direction: PyTree, *others: PyTree) -> PyTree:
        outputs = lambda given: eqx.filter(function(given, *others), eqx.is_inexact_array)  # noqa: E731
        return jax.jvp(outputs, (parameters,), (direction,))[1]

    first, rest = jax.tree.map(_shape, parameters), jax.tree.map(_shape, others)
    used = used_inputs(jax.make_jaxpr(tangent)(first, first, *rest).jaxpr)
    count = len(jax.tree.leaves(first))
    return any(used[count : 2 * count])


def depends(function: Callable, parameters: PyTree, *others: PyTree) -> bool:
    """Whether the result of a function depends on its first argument at all; arguments as for ``has_derivative``."""
    first, rest = jax.tree.map(_shape, parameters), jax.tree.map(_shape, others)
    used = used_inputs(jax.make_jaxpr(function)(first, *rest).jaxpr)
    return any(used[: len(jax.tree.leaves(first))])


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
