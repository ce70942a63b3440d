"""Equinox modules as JSON: the names of their classes, their fields, and their arrays.

Reading makes objects of classes that the reader knows or was given, and nothing else: nothing is imported or executed
because a file says so.
"""

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from inspect import signature
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import jaxtyped

# A field of a class cannot be called like a keyword of Python.
CLASS, ELSEWHERE = "class", "from"
SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
PLAIN = (NoneType, bool, int, str)


class NotStorableError(ValueError):
    """An object holds something that no file can hold; the message is one sentence."""


class OwnClassError(ValueError):
    """An object of a class that the reader neither knows nor was given; the message is one sentence."""


def known_modules() -> dict[str, type]:
    """The classes of this package by the name of their subpackage and their own, as far as they have been imported."""
    return {
        name_of(kind): kind
        for kind in _below(eqx.Module)
        if kind.__module__.startswith("metaplax.")
        and not kind.__name__.startswith("Abstract")
        # Equinox makes subclasses of the same name for a while.
        and getattr(sys.modules[kind.__module__], kind.__name__, None) is kind
    }


def name_of(kind: type) -> str:
    """``"plasticity.Hebb"`` for a class of this package, ``"Mine"`` for another one."""
    package, *rooms = kind.__module__.split(".")
    return f"{rooms[0]}.{kind.__name__}" if package == "metaplax" and rooms else kind.__name__


def _below(kind: type) -> Iterator[type]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def inline(array: jax.Array | np.ndarray) -> dict[str, Any]:
    """An array as JSON, every number exactly as it is."""
    numbers = np.asarray(array)
    values = [_number(value) if isinstance(value, float) else value for value in numbers.astype(object).ravel()]
    kind = "numpy" if isinstance(array, np.ndarray) else "array"
    return {kind: _nested(values, numbers.shape), "dtype": numbers.dtype.name, "shape": list(numbers.shape)}


def outlined(entry: Mapping[str, Any]) -> jax.Array | np.ndarray:
    """The array that ``inline`` has written.

    Raises:
        ValueError: it is none, or of a type that JAX is not set to; part of a sentence.
    """
    kind = "numpy" if "numpy" in entry else "array"
    if entry.keys() != {kind, "dtype", "shape"}:
        raise ValueError(f"an array has the entries {kind}, dtype and shape, not {', '.join(sorted(entry))}")
    try:
        values = [SPECIAL[one] if isinstance(one, str) else one for one in _leaves(entry[kind])]
        dtype = jnp.dtype(entry["dtype"])
        wrong = [one for one in values if (type(one) is bool) != (dtype.kind == "b")]
        if wrong or any(type(size) is not int or size < 0 for size in entry["shape"]) or dtype.hasobject:
            raise ValueError
        numbers = np.asarray(values, dtype).reshape(entry["shape"])
    except (TypeError, ValueError, KeyError, OverflowError):
        raise ValueError("an array does not hold numbers of its type and shape") from None
    return numbers if kind == "numpy" else as_jax(numbers)


def as_jax(numbers: np.ndarray) -> jax.Array:
    """The same array in JAX.

    Raises:
        ValueError: JAX is not set to double precision, and the array is in it.
    """
    if jax.dtypes.canonicalize_dtype(numbers.dtype) != numbers.dtype:
        raise ValueError(f"its arrays are of type {numbers.dtype}: set JAX_ENABLE_X64=1, as it was when it was saved")
    return jnp.asarray(numbers)


def _nested(values: list, shape: tuple[int, ...]) -> Any:
    if len(shape) < 2:
        return values if shape else values[0]
    size = len(values) // shape[0] if shape[0] else 0
    return [_nested(values[size * k : size * (k + 1)], shape[1:]) for k in range(shape[0])]


def _leaves(nested: Any) -> Iterator[Any]:
    if isinstance(nested, list):
        for part in nested:
            yield from _leaves(part)
    else:
        yield nested


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else next(name for name in SPECIAL if name == str(value))


def stored(value: Any, array: Callable[[Any], Any] = inline, given: Callable[[Any], str | None] | None = None) -> Any:
    """A module, or what is in one, as what JSON can hold.

    Args:
        value: a module, a tuple, list or dictionary, an array, a number, a text or ``None``.
        array: how arrays are written.
        given: name of an object that whoever reads it has to bring along; ``None`` for all that is written itself.

    Raises:
        NotStorableError: there is something else in it, such as a function.
    """
    return _stored(value, "", array, given or (lambda value: None))


def _stored(value: Any, path: str, array: Callable[[Any], Any], given: Callable[[Any], str | None]) -> Any:
    inside = lambda part, name: _stored(part, f"{path}{name}", array, given)  # noqa: E731
    if (name := given(value)) is not None:
        return {"given": name}
    if type(value) in PLAIN:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": _number(value)}
    if type(value) is tuple:
        return [inside(part, f"[{k}]") for k, part in enumerate(value)]
    if type(value) is list:
        return {"list": [inside(part, f"[{k}]") for k, part in enumerate(value)]}
    if type(value) is dict and all(isinstance(name, str) for name in value):
        return {"dict": {name: inside(part, f"[{name!r}]") for name, part in value.items()}}
    if isinstance(value, jax.Array | np.ndarray):
        return array(value)
    if isinstance(value, eqx.Module) and not isinstance(value, eqx.Partial):
        kind, entries = type(value), {}
        for field in fields(kind):  # pyright: ignore[reportArgumentType]
            if field.name in vars(value):  # else it is the default of its class
                entries[field.name] = inside(getattr(value, field.name), f".{field.name}")
        elsewhere = {} if kind.__module__.startswith("metaplax.") else {ELSEWHERE: kind.__module__}
        return {CLASS: name_of(kind), **elsewhere, **entries}
    what = "function" if callable(value) else type(value).__name__
    raise NotStorableError(f"{path.removeprefix('.') or 'it'} is a {what}, which no file can hold")


@dataclass(frozen=True)
class Reader:
    """Makes modules from what ``stored`` gave.

    Attributes:
        own: classes that are not of this package, which the caller brings along.
        given: objects that the caller brings along, by name.
        array: how arrays are read.
    """

    own: Iterable[type] = ()
    given: Mapping[str, Any] | None = None
    array: Callable[[Mapping[str, Any]], Any] = outlined

    @cached_property
    def _known(self) -> Mapping[str, type]:
        return known_modules()

    def read(self, entry: Any) -> Any:
        """The object.

        Raises:
            ValueError: the entry describes none; part of a sentence.
        """
        if isinstance(entry, list):
            return tuple(map(self.read, entry))
        if not isinstance(entry, dict):
            return entry
        if CLASS in entry:
            return self._module(entry)
        if "array" in entry or "numpy" in entry:
            return self.array(entry)
        kind, value = next(iter(entry.items())) if len(entry) == 1 else (None, None)
        if kind == "given" and isinstance(value, str):
            if value not in (self.given or {}):
                raise ValueError(f"the term {value!r} is a function of your own, which no file holds: give it again")
            return (self.given or {})[value]
        if kind == "float" and value in list(SPECIAL):
            return SPECIAL[value]  # pyright: ignore[reportArgumentType]
        if kind == "list" and isinstance(value, list):
            return [self.read(part) for part in value]
        if kind == "dict" and isinstance(value, dict):
            return {name: self.read(part) for name, part in value.items()}
        raise ValueError(f"it has an entry that means nothing here: {', '.join(map(repr, sorted(entry))) or 'empty'}")

    def _module(self, entry: Mapping[str, Any]) -> Any:
        name = entry[CLASS]
        known = {kind.__name__: kind for kind in self.own} if ELSEWHERE in entry else self._known
        if not isinstance(name, str) or name not in known:
            if ELSEWHERE in entry:
                raise OwnClassError(f"{name!r} is a class of your own, from {entry[ELSEWHERE]!r}: give that class, too")
            raise ValueError(f"this version has no {name!r}")
        kind, values = known[name], {key: part for key, part in entry.items() if key not in (CLASS, ELSEWHERE)}
        made = object.__new__(kind)
        for field in fields(kind):
            if field.name in values:
                object.__setattr__(made, field.name, self.read(values.pop(field.name)))
            elif field.default is MISSING:
                raise ValueError(f"{name} has no {field.name!r}")
            elif field.name in signature(kind).parameters:
                object.__setattr__(made, field.name, field.default)
        if values:
            raise ValueError(f"{name} has an unknown {min(values)!r}")
        check_fields(made)
        for parent in kind.__mro__:
            if "__check_init__" in vars(parent):
                parent.__check_init__(made)  # pyright: ignore[reportAttributeAccessIssue]
        return made


def check_fields(module: eqx.Module) -> None:
    """Refuse a module, or one in it, whose fields are not of the declared types and shapes.

    Raises:
        ValueError: one of them is not; a sentence.
    """
    hints = get_type_hints(type(module))
    with jaxtyped("context"):  # so that sizes with the same name are the same size
        for field in fields(module):  # pyright: ignore[reportArgumentType]
            if not _fits(getattr(module, field.name), hints[field.name]):
                raise ValueError(f"{field.name!r} of {type(module).__name__} is not what it should be")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type, as far as that is known here."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if origin is tuple:
        of_any_length = len(parts) == 2 and parts[1] is Ellipsis
        expected = parts[:1] * len(value) if of_any_length and isinstance(value, tuple) else parts
        return isinstance(value, tuple) and len(value) == len(expected) and all(map(_fits, value, expected))
    if hint is float:
        return type(value) in (float, int) or (eqx.is_inexact_array(value) and value.ndim == 0)
    if hint in (int, bool, str):
        return type(value) is hint
    if hint is None:
        return value is None
    kind = origin or hint
    return isinstance(value, kind) if isinstance(kind, type) else True
