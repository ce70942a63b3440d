"""The algebra of weight updates in which plasticity terms are written.

Nearly every published plasticity rule is a sum of outer products of a post-synaptic and a pre-synaptic vector. Keeping
the two vectors, in place of their product, allows an estimator to collect many steps in one matrix product, or to undo
a step.
"""

from abc import abstractmethod
from collections.abc import Iterable
from functools import reduce
from typing import TypeGuard

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Coefficient = Float[Array, ""] | Float[Array, " post"] | Float[Array, "post pre"]
"""A factor in front of an update: one for the whole layer, one per post-synaptic neuron, or one per synapse."""


class AbstractUpdate(eqx.Module):
    """A change of one weight matrix of shape ``(post, pre)``."""

    @abstractmethod
    def scaled(self, coefficient: Coefficient) -> "AbstractUpdate":
        """The update times a coefficient, in the most structured form that can represent it."""

    @abstractmethod
    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        """The change as a full matrix, given the weights before the step."""

    def matrices(self) -> tuple[Float[Array, "post pre"], ...]:
        """The arrays in it that have the shape of the weights; by default every array of two dimensions."""
        return tuple(leaf for leaf in jax.tree.leaves(self) if leaf.ndim > 1)


class Outer(AbstractUpdate):
    """``post pre^T``: change every synapse by the product of one post- and one pre-synaptic number."""

    post: Float[Array, " post"]
    pre: Float[Array, " pre"]

    def scaled(self, coefficient: Coefficient) -> "Outer | Gated":
        # A scalar goes to the pre-synaptic side so that terms sharing a post-synaptic factor can be merged.
        if coefficient.ndim == 0:
            return Outer(self.post, coefficient * self.pre)
        if coefficient.ndim == 1:
            return Outer(coefficient * self.post, self.pre)
        return Gated(coefficient, self)

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        return outer(self.post, self.pre)


class BatchOuter(AbstractUpdate):
    """``sum_n post_n pre_n^T``: outer products summed over the examples of a batch."""

    post: Float[Array, "batch post"]
    pre: Float[Array, "batch pre"]

    def scaled(self, coefficient: Coefficient) -> "BatchOuter | Gated":
        if coefficient.ndim == 2:
            return Gated(coefficient, self)
        return BatchOuter(self.post * (coefficient if coefficient.ndim == 0 else coefficient[None]), self.pre)

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        return self.post.T @ self.pre

    def matrices(self) -> tuple[Float[Array, "post pre"], ...]:
        return ()


class Decay(AbstractUpdate):
    """``-rate W``: shrink weights towards zero, with one rate, one per post-synaptic neuron or one per synapse.

    The default rate is one, which sets the weights to zero unless a coefficient scales it.
    """

    rate: Coefficient | None = None

    def scaled(self, coefficient: Coefficient) -> "Decay | Gated":
        if self.rate is None:
            return Decay(coefficient)
        if coefficient.ndim == 2 and self.rate.ndim == 1:
            return Gated(coefficient, self)
        return Decay(multiply(coefficient, self.rate))

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        return -weight if self.rate is None else multiply(-self.rate, weight)


class Gated(AbstractUpdate):
    """``gate * update``: another update with a factor for every synapse."""

    gate: Float[Array, "post pre"]
    update: AbstractUpdate

    def scaled(self, coefficient: Coefficient) -> "Gated":
        if coefficient.ndim == 2:
            return Gated(coefficient * self.gate, self.update)
        return Gated(self.gate, self.update.scaled(coefficient))

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        if isinstance(self.update, Decay):
            return self.update.dense(self.gate * weight)
        return self.gate * self.update.dense(weight)

    def matrices(self) -> tuple[Float[Array, "post pre"], ...]:
        return (self.gate, *self.update.matrices())


class Dense(AbstractUpdate):
    """An arbitrary matrix: always correct, but estimators cannot exploit its structure."""

    matrix: Float[Array, "post pre"]

    def scaled(self, coefficient: Coefficient) -> "Dense":
        return Dense(multiply(coefficient, self.matrix))

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        return self.matrix


class BlockOuter(AbstractUpdate):
    """Outer products of separate positions, summed over a batch: rows of the weights are positions times neurons."""

    post: Float[Array, "batch positions rows"]
    pre: Float[Array, "batch positions columns"]

    def scaled(self, coefficient: Coefficient) -> "BlockOuter | Gated":
        if coefficient.ndim == 2:
            return Gated(coefficient, self)
        if coefficient.ndim == 1:
            coefficient = coefficient.reshape(1, *self.post.shape[1:])
        return BlockOuter(self.post * coefficient, self.pre)

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        return jnp.einsum("bpr,bpc->prc", self.post, self.pre).reshape(weight.shape)

    def matrices(self) -> tuple[Float[Array, "post pre"], ...]:
        return ()


class Weighted(AbstractUpdate):
    """``W^power * update``, entry by entry: another update times a power of every weight."""

    power: int = eqx.field(static=True)
    update: AbstractUpdate

    def scaled(self, coefficient: Coefficient) -> "Weighted":
        return Weighted(self.power, self.update.scaled(coefficient))

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        return weight**self.power * self.update.dense(weight)

    def matrices(self) -> tuple[Float[Array, "post pre"], ...]:
        return self.update.matrices()


class Sum(AbstractUpdate):
    """Several updates that share one coefficient."""

    parts: tuple[AbstractUpdate, ...]

    def scaled(self, coefficient: Coefficient) -> "Sum":
        return Sum(tuple(part.scaled(coefficient) for part in self.parts))

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        changes = [part.dense(weight) for part in self.parts]
        return sum(changes[1:], start=changes[0])

    def matrices(self) -> tuple[Float[Array, "post pre"], ...]:
        return tuple(matrix for part in self.parts for matrix in part.matrices())


class Clipped(AbstractUpdate):
    """The sum of several updates, no entry of which is larger than a limit.

    Attributes:
        limit: largest size of a change: one for all, one per post-synaptic neuron or one per synapse.
        parts: the updates.
    """

    limit: Coefficient
    parts: tuple[AbstractUpdate, ...]

    def scaled(self, coefficient: Coefficient) -> "Clipped":
        return Clipped(multiply(jnp.abs(coefficient), self.limit), Sum(self.parts).scaled(coefficient).parts)

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        limit = self.limit[:, None] if self.limit.ndim == 1 else self.limit
        return jnp.clip(Sum(self.parts).dense(weight), -limit, limit)

    def matrices(self) -> tuple[Float[Array, "post pre"], ...]:
        return Sum(self.parts).matrices()


class Replace(AbstractUpdate):
    """Another array takes the place of the old one, whatever that was; the only update of an array that is no matrix.

    What was there before cannot be computed from what is there after. Where there is one number per neuron, it is kept
    at every step; where there is one per synapse, that would be too much, and the step counts as one that cannot be
    undone.

    Attributes:
        value: the new array.
        per_synapse: whether it has one number for every synapse.
    """

    value: Float[Array, "..."]
    per_synapse: bool = eqx.field(static=True, default=False)

    def scaled(self, coefficient: Coefficient) -> "Replace":
        raise TypeError("an array that replaces another has no coefficient")

    def dense(self, weight: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.value - weight

    def matrices(self) -> tuple[Float[Array, "post pre"], ...]:
        return ()


INVERTIBLE_UPDATES = (Outer, BatchOuter, BlockOuter, Decay, Dense)
"""The kinds of updates that ``undo`` can invert; an update of another kind may depend on the weights in any way."""


def why_not_undone(update: AbstractUpdate) -> str | None:
    """Why an update cannot be undone, in half a sentence; nothing if it can."""
    if isinstance(update, Gated):
        return why_not_undone(update.update)
    if isinstance(update, Replace):
        return "one number per synapse is replaced at every step" if update.per_synapse else None
    if not isinstance(update, INVERTIBLE_UPDATES):
        return f"an update of the kind {type(update).__name__} cannot be undone"
    return None


Changes = tuple[AbstractUpdate, ...]
"""All updates of one matrix in one step."""


def parts(update: AbstractUpdate) -> Changes:
    """The updates that an update is the sum of: itself, if it is no ``Sum``."""
    return update.parts if isinstance(update, Sum) else (update,)


def outer(post: Float[Array, " post"], pre: Float[Array, " pre"]) -> Float[Array, "post pre"]:
    """``post pre^T``."""
    # A product without contraction is fused into its consumer like a broadcast, but its derivatives are matrix-vector
    # products, which are faster than the sums over a matrix that the derivative of a broadcast needs.
    return jax.lax.dot_general(post, pre, (((), ()), ((), ())))


def multiply(left: Coefficient, right: Coefficient) -> Coefficient:
    """Product of two coefficients, in which a vector holds one number per row (post-synaptic neuron)."""
    left, right = _aligned(left, right)
    return left * right


def merge(updates: Iterable[AbstractUpdate]) -> Changes:
    """The same total change in fewer updates.

    Outer products with the very same post-synaptic array are added, and so are decays.
    """
    pre_by_post: dict[int, Outer] = {}
    decays, others = [], []
    for update in updates:
        if isinstance(update, Outer):
            same = pre_by_post.get(id(update.post))
            pre_by_post[id(update.post)] = update if same is None else Outer(same.post, same.pre + update.pre)
        else:
            (decays if isinstance(update, Decay) else others).append(update)
    decay = [Decay(reduce(_add, map(_rate, decays)))] if decays else []
    return (*pre_by_post.values(), *others, *decay)


def apply(weight: Float[Array, "*shape"], updates: Iterable[AbstractUpdate]) -> Float[Array, "*shape"]:
    """Weights after all updates, each of which is evaluated on the weights before any of them.

    An array that is not a matrix is replaced, or has an empty collection of updates, which leaves it unchanged.
    """
    updates = merge(updates)
    if is_replaced(updates):
        return updates[0].value
    changes = [update.dense(weight) for update in updates]
    return sum(changes, start=weight)


def is_replaced(updates: Changes) -> TypeGuard[tuple[Replace]]:
    """Whether an array is replaced: then there is no other update of it."""
    return len(updates) == 1 and isinstance(updates[0], Replace)


def undo(weight: Float[Array, "*shape"], updates: Iterable[AbstractUpdate]) -> Float[Array, "*shape"]:
    """Weights before the updates, given those after them: the inverse of ``apply``, up to rounding.

    A decay with a rate of one sets weights to zero and cannot be undone.
    """
    # Gated decays are merged with the others too: the inverse needs the sum of all rates.
    merged = merge(
        Decay(multiply(_rate(update.update), update.gate))
        if isinstance(update, Gated) and isinstance(update.update, Decay)
        else update
        for update in updates
    )
    added = [update.dense(weight) for update in merged if not isinstance(update, Decay)]
    weight = weight - sum(added[1:], start=added[0]) if added else weight
    for decay in (update for update in merged if isinstance(update, Decay)):
        weight = multiply(1 / (1 - _rate(decay)), weight)
    return weight


def pull_back(
    weight: Float[Array, "*shape"], updates: Changes, weight_bar: Float[Array, "*shape"]
) -> tuple[Float[Array, "*shape"], Changes]:
    """The reverse-mode derivative of ``apply``.

    Args:
        weight: weights before the updates.
        updates: the updates, as returned by ``merge``.
        weight_bar: cotangent of the weights after the updates.

    Returns:
        Cotangents of the weights before the updates, and of the updates.
    """
    outers = tuple(update for update in updates if isinstance(update, Outer))
    others = tuple(update for update in updates if not isinstance(update, Outer))
    before_bar, others_bar = jax.vjp(apply, weight, others)[1](weight_bar)
    if not outers:
        return before_bar, others_bar
    # One product for all post-synaptic factors reads the matrix once.
    pre_bars = jnp.stack([update.post for update in outers]) @ weight_bar
    outers_bar = (Outer(weight_bar @ update.pre, pre_bar) for update, pre_bar in zip(outers, pre_bars, strict=True))
    from_outers, from_others = outers_bar, iter(others_bar)
    return before_bar, tuple(next(from_outers if isinstance(u, Outer) else from_others) for u in updates)


def _rate(decay: Decay) -> Coefficient:
    return jnp.ones(()) if decay.rate is None else decay.rate


def _add(left: Coefficient, right: Coefficient) -> Coefficient:
    left, right = _aligned(left, right)
    return left + right


def _aligned(left: Coefficient, right: Coefficient) -> tuple[Array, Array]:
    """Both with the dimensions needed to combine them entry by entry: a vector becomes a column beside a matrix."""
    if left.ndim == 1 and right.ndim == 2:
        return left[:, None], right
    if left.ndim == 2 and right.ndim == 1:
        return left, right[:, None]
    return left, right
