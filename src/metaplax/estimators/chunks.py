"""Cutting the examples of an episode into stretches of equal length."""

import jax
from jaxtyping import PyTree


def count_steps(inputs: PyTree) -> int:
    """How many steps there are: the length of the leading axis."""
    return jax.tree.leaves(inputs)[0].shape[0]


def in_chunks(inputs: PyTree, length: int) -> tuple[PyTree | None, PyTree | None]:
    """Stretches of ``length`` steps, stacked along a new leading axis, and the steps left over.

    Either is ``None`` if there are none; a single stretch counts as left over.

    Args:
        inputs: arrays whose leading axis counts steps.
        length: steps per stretch.
    """
    steps = count_steps(inputs)
    whole = steps // length if steps > length else 0
    done = whole * length
    head = jax.tree.map(lambda x: x[:done].reshape(whole, length, *x.shape[1:]), inputs) if whole else None
    rest = jax.tree.map(lambda x: x[done:], inputs) if done < steps else None
    return head, rest
