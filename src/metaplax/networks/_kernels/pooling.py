"""The largest of every few pixels, with a derivative that compiles to one pass over the image."""

from functools import partial, reduce
from itertools import product

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def pool(windows: Float[Array, "..."], axes: tuple[int, ...]) -> Float[Array, "..."]:
    """The largest along some axes.

    If several are equally large, the derivative is shared out evenly among them.

    Args:
        windows: images cut into windows.
        axes: of this array that count places within a window, not negative, in ascending order.
    """
    return reduce(jnp.maximum, _places(windows, axes))


@pool.defjvp
def _pool_jvp(
    axes: tuple[int, ...], primals: tuple[Float[Array, "..."]], tangents: tuple[Float[Array, "..."]]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    # The transpose of a sum is a broadcast. That of cutting corners out would put them back in between zeros, which
    # takes several times as long as all else in a block of a convolutional network.
    (windows,), (slopes,) = primals, tangents
    largest = pool(windows, axes)
    chosen = windows == jnp.expand_dims(largest, axes)
    count = sum((place == largest).astype(windows.dtype) for place in _places(windows, axes))
    return largest, jnp.sum(jnp.where(chosen, slopes, 0), axis=axes) / count


def _places(windows: Float[Array, "..."], axes: tuple[int, ...]) -> list[Float[Array, "..."]]:
    found = []
    for place in product(*(range(windows.shape[axis]) for axis in axes)):
        index = dict(zip(axes, place, strict=True))
        found.append(windows[tuple(index.get(axis, slice(None)) for axis in range(windows.ndim))])
    return found
