"""Which arrays of a learner are meta-parameters: a mask that is written down, in the manner of Equinox's filters."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

Learner = TypeVar("Learner", bound=eqx.Module)


def trainable(learner: PyTree) -> PyTree:
    """The mask of a learner: true at every array that is meta-learned.

    By default that is every floating-point array, JAX or NumPy, except those that were frozen with ``freeze`` and
    those that the learner itself never trains (``untrained``).

    Returns:
        A pytree of booleans in the structure of the learner, which ``equinox.partition`` and ``optax.masked`` take.
    """
    excluded = (*learner.frozen, *learner.untrained())
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: eqx.is_inexact_array(leaf) and not _is_under(path, excluded), learner
    )


def freeze(learner: Learner, where: Callable[[Any], Any] = lambda learner: learner) -> Learner:
    """The same learner, some arrays of which are no longer meta-learned.

    Args:
        learner: any learner.
        where: picks a part of it, or several in a tuple, as in ``equinox.tree_at``; by default everything. For example
            ``freeze(learner, lambda learner: learner.rule.coefficients)``.

    Raises:
        TypeError: the first argument is not a learner but a part of one.
    """
    if not hasattr(learner, "untrained"):
        raise TypeError(
            f"freeze takes a whole learner and says which part of it, not a {type(learner).__name__} on its own:"
            " freeze(learner, lambda learner: learner.start)"
        )
    rest = eqx.tree_at(where, learner, replace_fn=lambda part: jax.tree.map(lambda _: None, part))
    return _with_frozen(learner, rest)


def with_trainable(learner: Learner, mask: PyTree) -> Learner:
    """The same learner, of which only what the mask marks is meta-learned.

    Args:
        learner: any learner.
        mask: booleans in the learner's structure, or a prefix of it, or functions of a leaf, as ``equinox.filter``
            takes them. It cannot train what is frozen already.
    """
    return _with_frozen(learner, eqx.filter(learner, mask))


def with_frozen(learner: Learner, paths: tuple[str, ...]) -> Learner:
    """The same learner, of which just the arrays at these paths are not meta-learned."""
    return learner if learner.frozen == paths else _replaced(learner, frozen=paths)  # pyright: ignore


def with_plain_numbers_frozen(learner: Any) -> Any:
    """The same learner, whose plain Python numbers are not meta-learned either when arrays take their place."""
    leaves = jax.tree_util.tree_leaves_with_path(learner)
    plain = [jax.tree_util.keystr(path) for path, leaf in leaves if type(leaf) is float]
    return _replaced(learner, frozen=tuple(dict.fromkeys((*learner.frozen, *plain))))


def split(learner: PyTree) -> tuple[PyTree, PyTree]:
    """Meta-parameters and constants of a learner; ``join`` puts them together."""
    return eqx.partition(learner, trainable(learner))


def join(parameters: PyTree, constants: PyTree) -> Any:
    """A learner made of its meta-parameters and its constants, with every NumPy array as a JAX array."""
    learner = eqx.combine(parameters, constants)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, learner)


def keep_frozen(given: PyTree, redrawn: PyTree) -> Any:
    """The second learner, with the arrays of the first wherever that is frozen."""
    frozen = jax.tree_util.tree_map_with_path(lambda path, _: _is_under(path, given.frozen), given)
    return eqx.combine(eqx.filter(given, frozen), eqx.filter(redrawn, frozen, inverse=True))


def _with_frozen(learner: Any, rest: PyTree) -> Any:
    """A copy in which every array is frozen that the rest of it does not have."""
    names, left = ([jax.tree_util.keystr(path) for path in _array_paths(tree)] for tree in (learner, rest))
    frozen = dict.fromkeys((*learner.frozen, *(name for name in names if name not in left)))
    return _replaced(learner, frozen=tuple(frozen))


def _replaced(learner: Any, **values: Any) -> Any:
    """A copy with other values of some fields, which is made without calling ``__init__``."""
    changed = object.__new__(type(learner))
    for field in fields(learner):
        object.__setattr__(changed, field.name, values.get(field.name, getattr(learner, field.name)))
    return changed


def _array_paths(tree: PyTree) -> list[tuple]:
    return [path for path, leaf in jax.tree_util.tree_leaves_with_path(tree) if eqx.is_inexact_array(leaf)]


def _is_under(path: tuple, prefixes: tuple[str, ...]) -> bool:
    """Whether the leaf at this path is one of those named, or inside a part that is."""
    name = jax.tree_util.keystr(path)
    return any(name == prefix or name.startswith((f"{prefix}.", f"{prefix}[")) for prefix in prefixes)
