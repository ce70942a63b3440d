"""Max-pooling over axes of an array, with a derivative that compiles to one pass over the image."""

from functools import partial, reduce
from itertools import product

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def pool(windows: Float[Array, "..."], axes: tuple[int, ...]) -> Float[Array, "..."]:
    """The maximum along some axes.

    Where several entries are equally large, the derivative is shared out evenly among them.

    Args:
        windows: images cut into windows.
        axes: axes of this array that count positions within a window: not negative, in ascending order.
    """
    return reduce(jnp.maximum, _positions(windows, axes))


@pool.defjvp
def _pool_jvp(
    axes: tuple[int, ...], primals: tuple[Float[Array, "..."]], tangents: tuple[Float[Array, "..."]]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    # The transpose of this sum is a broadcast. The transpose of the slices in `_positions` would write each of them
    # into an array of zeros, which takes longer than the rest of a convolutional block.
    (windows,), (changes,) = primals, tangents
    largest = pool(windows, axes)
    chosen = windows == jnp.expand_dims(largest, axes)
    count = sum((entry == largest).astype(windows.dtype) for entry in _positions(windows, axes))
    return largest, jnp.sum(jnp.where(chosen, changes, 0), axis=axes) / count


def _positions(windows: Float[Array, "..."], axes: tuple[int, ...]) -> list[Float[Array, "..."]]:
    """One array for each position within a window."""
    found = []
    for position in product(*(range(windows.shape[axis]) for axis in axes)):
        index = dict(zip(axes, position, strict=True))
        found.append(windows[tuple(index.get(axis, slice(None)) for axis in range(windows.ndim))])
    return found
