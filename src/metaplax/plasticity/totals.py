"""The total of many updates of one matrix: over steps of time, examples, or positions of an image."""

import jax
import jax.numpy as jnp

from metaplax.plasticity.updates import (
    AbstractUpdate,
    BatchOuter,
    BlockOuter,
    Decay,
    Dense,
    Gated,
    Outer,
    Sum,
    Weighted,
)


def total(update: AbstractUpdate, count: int) -> AbstractUpdate:
    """The sum of ``count`` updates, in as structured a form as can represent it.

    Args:
        update: an update every array of which has one more axis, in front, over which the sum is taken.
        count: length of that axis.
    """
    if isinstance(update, Outer | BatchOuter):
        return BatchOuter(*(leaf.reshape(-1, leaf.shape[-1]) for leaf in (update.post, update.pre)))
    if isinstance(update, BlockOuter):
        return BlockOuter(*(leaf.reshape(-1, *leaf.shape[-2:]) for leaf in (update.post, update.pre)))
    if isinstance(update, Decay):
        return Decay(jnp.asarray(float(count)) if update.rate is None else jnp.sum(update.rate, axis=0))
    if isinstance(update, Weighted):
        return Weighted(update.power, total(update.update, count))
    if isinstance(update, Sum):
        return Sum(tuple(total(part, count) for part in update.parts))
    if isinstance(update, Gated):
        # A gate that is different every time leaves no structure.
        inner = update.update
        if isinstance(inner, Decay):
            return Decay(jnp.sum(update.gate if inner.rate is None else jax.vmap(_times)(update.gate, inner.rate), 0))
        return Dense(jnp.einsum("n...,n...->...", update.gate, jax.vmap(lambda u, g: u.dense(g))(inner, update.gate)))
    return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), update)


def blocks(update: AbstractUpdate, neurons: int) -> AbstractUpdate:
    """The updates of separate positions as one update of the matrix whose rows are positions times neurons.

    Args:
        update: an update every array of which has one more axis, in front, over positions.
        neurons: number of rows of every position.
    """
    if isinstance(update, Outer):
        return BlockOuter(update.post[None], update.pre[None])
    if isinstance(update, BatchOuter):
        return BlockOuter(*(jnp.swapaxes(leaf, 0, 1) for leaf in (update.post, update.pre)))
    if isinstance(update, Weighted):
        return Weighted(update.power, blocks(update.update, neurons))
    if isinstance(update, Sum):
        return Sum(tuple(blocks(part, neurons) for part in update.parts))
    if isinstance(update, Gated):
        return Gated(_rows(update.gate), blocks(update.update, neurons))
    if isinstance(update, Decay):
        if update.rate is None:
            return update
        return Decay(jnp.repeat(update.rate, neurons) if update.rate.ndim == 1 else _rows(update.rate))
    return jax.tree.map(_rows, update)


def _rows(leaf):
    """Positions and neurons in one axis."""
    return leaf.reshape(-1, *leaf.shape[2:])


def _times(gate, rate):
    return gate * (rate[:, None] if rate.ndim == 1 else rate)
