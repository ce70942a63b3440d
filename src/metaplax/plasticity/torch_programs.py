"""Small JAX functions as functions of PyTorch tensors: JAX records their operations, PyTorch carries them out.

This is how a plasticity term, which is written once, in JAX, changes the weights of a PyTorch model. The operations are
those that terms are made of: arithmetic, elementwise functions, comparisons, sums, products of matrices, and changes of
shape.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, reduce
from importlib import import_module
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

CALLS = {
    "jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}  # fmt: skip
"""Operations that stand for a whole function, and the name of the parameter that holds it."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"
Tensor = Any
"""A ``torch.Tensor``; PyTorch is optional."""


def pytorch() -> Any:
    """The package ``torch``.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return import_module("torch")
    except ImportError as error:
        raise ImportError("PyTorch is not installed: pip install 'metaplax[torch]'") from error


def in_torch(function: Callable[..., PyTree], like: Tensor, *arguments: PyTree) -> Callable[..., list[Tensor]]:
    """A JAX function as one of PyTorch tensors.

    Args:
        function: any function of pytrees of arrays that is made of the operations listed in this module.
        like: a tensor; constants of the function get its type and device.
        arguments: what the function will be given, as shapes; a program is recorded for these.

    Returns:
        a function of tensors, one for every leaf of the arguments, that gives a list of tensors, one for every leaf of
        what the function returns.

    Raises:
        ValueError: the function has an operation that is not among those; one sentence names it.
        ImportError: PyTorch is not installed.
    """
    program = jax.make_jaxpr(function)(*arguments)
    _refuse_unknown(program.jaxpr)
    constants = [_tensor(value, like) for value in program.consts]
    return lambda *tensors: _run(program.jaxpr, constants, tensors, like)


def _refuse_unknown(program: Any) -> None:
    for equation in program.eqns:
        name = equation.primitive.name
        if name in CALLS:
            _refuse_unknown(_inner(equation))
        elif name not in operations():
            raise ValueError(f"the rule has a term with the operation {name!r}, which is not known for PyTorch")


def _inner(equation: Any) -> Any:
    """The program of a called function."""
    found = equation.params[CALLS[equation.primitive.name]]
    return getattr(found, "jaxpr", found)


def _run(program: Any, constants: list[Tensor], inputs: tuple[Tensor, ...], like: Tensor) -> list[Tensor]:
    known = dict(zip([*program.constvars, *program.invars], [*constants, *inputs], strict=True))
    value = lambda it: _tensor(it.val, like) if hasattr(it, "val") else known[it]  # noqa: E731
    for equation in program.eqns:
        given = tuple(map(value, equation.invars))
        if equation.primitive.name in CALLS:
            called = equation.params[CALLS[equation.primitive.name]]
            found = _run(_inner(equation), [_tensor(c, like) for c in getattr(called, "consts", ())], given, like)
        else:
            found = [operations()[equation.primitive.name](*given, **_wanted(equation.params, equation.outvars[0]))]
        known |= zip(equation.outvars, found, strict=True)
    return [value(it) for it in program.outvars]


def _wanted(parameters: Mapping[str, Any], result: Any) -> dict[str, Any]:
    """The parameters of an operation, with the shape and the type of its result."""
    return {**parameters, "result": result.aval}


def _tensor(value: Any, like: Tensor) -> Tensor:
    """A constant; floating-point numbers in the precision of ``like``."""
    numbers = np.array(value)  # a copy, since PyTorch wants memory that may be written to
    is_float = np.issubdtype(numbers.dtype, np.floating)
    return pytorch().as_tensor(numbers, dtype=like.dtype if is_float else None, device=like.device)


@cache
def operations() -> dict[str, Callable[..., Tensor]]:
    """The operations by the names that JAX has for them; each takes tensors, and parameters by name."""
    torch = pytorch()
    plain = {
        "add": torch.add, "add_any": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "neg": torch.neg,
        "max": torch.maximum, "min": torch.minimum, "pow": torch.pow, "exp": torch.exp, "exp2": torch.exp2,
        "log": torch.log, "log1p": torch.log1p, "expm1": torch.expm1, "tanh": torch.tanh, "logistic": torch.sigmoid,
        "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "square": torch.square, "abs": torch.abs, "sign": torch.sign,
        "sin": torch.sin, "cos": torch.cos, "erf": torch.erf, "eq": torch.eq, "ne": torch.ne, "lt": torch.lt,
        "le": torch.le, "gt": torch.gt, "ge": torch.ge, "and": torch.logical_and, "or": torch.logical_or,
        "not": torch.logical_not, "is_finite": torch.isfinite, "copy": torch.clone, "copy_p": torch.clone,
    }  # fmt: skip
    simple = {name: (lambda *given, does=does, **_: does(*given)) for name, does in plain.items()}
    return simple | {
        "integer_pow": lambda x, y, **_: x**y,
        "clamp": lambda low, x, high, **_: torch.minimum(torch.maximum(x, low), high),
        "select_n": lambda which, *cases, **_: reduce(
            lambda found, k: torch.where(which == k, cases[k], found), range(1, len(cases)), cases[0]
        ),
        "convert_element_type": _converted,
        "stop_gradient": lambda x, **_: x,
        "reduce_sum": lambda x, axes, **_: torch.sum(x, dim=axes) if axes else x,
        "reduce_max": lambda x, axes, **_: torch.amax(x, dim=axes) if axes else x,
        "reduce_min": lambda x, axes, **_: torch.amin(x, dim=axes) if axes else x,
        "broadcast_in_dim": _broadcast,
        "reshape": lambda x, result, **_: x.reshape(result.shape),
        "squeeze": lambda x, result, **_: x.reshape(result.shape),
        "expand_dims": lambda x, result, **_: x.reshape(result.shape),
        "transpose": lambda x, permutation, **_: x.permute(permutation),
        "concatenate": lambda *parts, dimension, **_: torch.cat(parts, dim=dimension),
        "stack": lambda *parts, axis, **_: torch.stack(parts, dim=axis),
        "slice": _sliced,
        "dot_general": _product,
    }


def _converted(x: Tensor, result: Any, **_: Any) -> Tensor:
    """Another kind of number; the precision of floating-point numbers is that of the tensors."""
    if np.issubdtype(result.dtype, np.floating):
        return x if x.is_floating_point() else x.to(pytorch().get_default_dtype())
    return x.bool() if result.dtype == bool else x.long()


def _broadcast(x: Tensor, shape: Sequence, broadcast_dimensions: Sequence, **_: Any) -> Tensor:
    sizes = [1] * len(shape)
    for axis, place in enumerate(broadcast_dimensions):
        sizes[place] = x.shape[axis]
    return x.reshape(sizes).expand(shape)


def _sliced(x: Tensor, start_indices: tuple, limit_indices: tuple, strides: tuple | None, **_: Any) -> Tensor:
    steps = strides or (1,) * x.ndim
    return x[tuple(slice(*each) for each in zip(start_indices, limit_indices, steps, strict=True))]


def _product(left: Tensor, right: Tensor, dimension_numbers: tuple, **_: Any) -> Tensor:
    """A product of arrays, summed over contracted axes; axes of batches come first in what it gives."""
    (left_sum, right_sum), (left_batch, right_batch) = dimension_numbers
    ours = list(LETTERS[: left.ndim])
    theirs = list(LETTERS[left.ndim : left.ndim + right.ndim])
    for mine, other in zip((*left_sum, *left_batch), (*right_sum, *right_batch), strict=True):
        theirs[other] = ours[mine]
    free = lambda letters, used: [one for axis, one in enumerate(letters) if axis not in used]  # noqa: E731
    kept = [*(ours[axis] for axis in left_batch), *free(ours, (*left_sum, *left_batch))]
    kept += free(theirs, (*right_sum, *right_batch))
    equation = f"{''.join(ours)},{''.join(theirs)}->{''.join(kept)}"
    return pytorch().einsum(equation, left, right)
