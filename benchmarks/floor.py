"""The least time an exact gradient could take: what its matrix-vector products must read."""

import time
from collections.abc import Callable
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn
from jax.interpreters.partial_eval import dce_jaxpr

PRODUCTS = 2000
"""Matrix-vector products in one measurement of the bandwidth."""
FEW = 4
"""With at most this many vectors at once, reading the matrix dominates the cost of a product."""


def product_bytes(function: Callable, *arguments) -> int:
    """Bytes of matrices read by all products of a matrix with one or a few vectors in one call of a function.

    Products with many vectors at once, and outer products, are not counted.
    """
    jaxpr = jax.make_jaxpr(function)(*arguments).jaxpr
    return _bytes(dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[0])


def bandwidth(post: int, pre: int, repeats: int = 9) -> float:
    """Bytes per second at which a ``(post, pre)`` matrix is read by products with a vector; best of several runs."""
    weight = jnp.full((post, pre), 1e-3)

    def product(vector, _):
        return 0.5 * vector + 1e-3 * jnp.sum(weight @ vector), None

    run = jax.jit(lambda vector: jax.lax.scan(product, vector, length=PRODUCTS)[0])
    vector = jax.block_until_ready(run(jnp.ones(pre)))
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(run(vector))
        seconds.append(time.perf_counter() - began)
    return PRODUCTS * weight.nbytes / min(seconds)


def _bytes(jaxpr: Jaxpr) -> int:
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            total += _read(equation)
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        total += times * sum(_bytes(inner) for value in equation.params.values() for inner in _jaxprs(value))
    return total


def _read(product: JaxprEqn) -> int:
    """Bytes of the matrix in a product of a matrix with one or a few vectors."""
    operands: list[Any] = [operand.aval for operand in product.invars]
    few, matrix = sorted(operands, key=lambda aval: aval.size)
    summed = prod(matrix.shape[axis] for axis in product.params["dimension_numbers"][0][operands.index(matrix)])
    is_matrix = matrix.ndim == 2 and summed < matrix.size
    return matrix.size * matrix.dtype.itemsize if is_matrix and few.size <= FEW * summed else 0


def _jaxprs(value) -> list[Jaxpr]:
    if isinstance(value, ClosedJaxpr):
        return [value.jaxpr]
    if isinstance(value, Jaxpr):
        return [value]
    return [inner for item in value for inner in _jaxprs(item)] if isinstance(value, tuple) else []
