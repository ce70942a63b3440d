"""The small algebra of weight updates that plasticity terms are written in.

Nearly every published plasticity rule is a sum of outer products of a post-synaptic and a
pre-synaptic vector. Keeping the two vectors apart, instead of multiplying them out, is what lets
an engine gather many steps into one matrix product, or undo a step exactly.
"""

from abc import abstractmethod
from collections.abc import Iterable
from functools import reduce

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Coefficient = Float[Array, ""] | Float[Array, " post"] | Float[Array, "post pre"]
"""A factor in front of an update: one for the layer, one per post-synaptic neuron, or one per synapse."""


class AbstractUpdate(eqx.Module):
    """A change of one weight matrix of shape ``(post, pre)``."""

    @abstractmethod
    def scaled(self, coefficient: Coefficient) -> "AbstractUpdate":
        """The update multiplied by a coefficient, in the most structured form that can hold it."""

    @abstractmethod
    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        """The change as a full matrix, given the weights before the step."""

    def matrices(self) -> tuple[Float[Array, "post pre"], ...]:
        """What it holds of the size of the weights; by default every array of two dimensions."""
        return tuple(leaf for leaf in jax.tree.leaves(self) if leaf.ndim > 1)


class Outer(AbstractUpdate):
    """``post pre^T``: change every synapse by a product of one post- and one pre-synaptic number."""

    post: Float[Array, " post"]
    pre: Float[Array, " pre"]

    def scaled(self, coefficient: Coefficient) -> "Outer | GatedOuter":
        # A scalar goes to the pre-synaptic side so that terms sharing a post-synaptic factor can be merged.
        if coefficient.ndim == 0:
            return Outer(self.post, coefficient * self.pre)
        if coefficient.ndim == 1:
            return Outer(coefficient * self.post, self.pre)
        return GatedOuter(coefficient, self.post, self.pre)

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        del weight
        return outer(self.post, self.pre)


class GatedOuter(AbstractUpdate):
    """``gate * (post pre^T)``: an outer product with a factor of its own for every synapse."""

    gate: Float[Array, "post pre"]
    post: Float[Array, " post"]
    pre: Float[Array, " pre"]

    def scaled(self, coefficient: Coefficient) -> "GatedOuter":
        if coefficient.ndim == 0:
            return GatedOuter(self.gate, self.post, coefficient * self.pre)
        if coefficient.ndim == 1:
            return GatedOuter(self.gate, coefficient * self.post, self.pre)
        return GatedOuter(coefficient * self.gate, self.post, self.pre)

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        del weight
        return self.gate * outer(self.post, self.pre)


class BatchOuter(AbstractUpdate):
    """``sum_n post_n pre_n^T``: outer products summed over the examples of a batch."""

    post: Float[Array, "batch post"]
    pre: Float[Array, "batch pre"]

    def scaled(self, coefficient: Coefficient) -> "BatchOuter | GatedBatchOuter":
        if coefficient.ndim == 2:
            return GatedBatchOuter(coefficient, self.post, self.pre)
        return BatchOuter(_by_column(coefficient, self.post), self.pre)

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        del weight
        return self.post.T @ self.pre

    def matrices(self) -> tuple[Float[Array, "post pre"], ...]:
        return ()


class GatedBatchOuter(AbstractUpdate):
    """``gate * sum_n post_n pre_n^T``: the same with a factor of its own for every synapse."""

    gate: Float[Array, "post pre"]
    post: Float[Array, "batch post"]
    pre: Float[Array, "batch pre"]

    def scaled(self, coefficient: Coefficient) -> "GatedBatchOuter":
        if coefficient.ndim == 2:
            return GatedBatchOuter(coefficient * self.gate, self.post, self.pre)
        return GatedBatchOuter(self.gate, _by_column(coefficient, self.post), self.pre)

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        del weight
        return self.gate * (self.post.T @ self.pre)

    def matrices(self) -> tuple[Float[Array, "post pre"], ...]:
        return (self.gate,)


class Decay(AbstractUpdate):
    """``-rate W``: shrink weights towards zero, with one rate, one per post-synaptic neuron or one per synapse.

    Without a rate it is one, which forgets the weights altogether, until a coefficient makes it less.
    """

    rate: Coefficient | None = None

    def scaled(self, coefficient: Coefficient) -> "Decay | GatedDecay":
        if self.rate is None:
            return Decay(coefficient)
        if coefficient.ndim == 2 and self.rate.ndim == 1:
            return GatedDecay(coefficient, self.rate)
        return Decay(multiply(coefficient, self.rate))

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        return -weight if self.rate is None else multiply(-self.rate, weight)


class GatedDecay(AbstractUpdate):
    """``-gate * rate W``: shrink weights with one rate per post-synaptic neuron, and a factor for every synapse."""

    gate: Float[Array, "post pre"]
    rate: Float[Array, " post"]

    def scaled(self, coefficient: Coefficient) -> "GatedDecay":
        if coefficient.ndim == 2:
            return GatedDecay(coefficient * self.gate, self.rate)
        return GatedDecay(self.gate, coefficient * self.rate)

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        return -self.rate[:, None] * (self.gate * weight)

    def whole(self) -> Decay:
        """The same with one rate per synapse."""
        return Decay(multiply(self.rate, self.gate))


class Dense(AbstractUpdate):
    """Any matrix at all: always correct, but no engine can take advantage of it."""

    matrix: Float[Array, "post pre"]

    def scaled(self, coefficient: Coefficient) -> "Dense":
        return Dense(multiply(coefficient, self.matrix))

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        del weight
        return self.matrix


INVERTIBLE_UPDATES = (Outer, GatedOuter, BatchOuter, GatedBatchOuter, Decay, GatedDecay, Dense)
"""What :func:`undo` knows how to undo; an update of another kind may depend on the weights in any way."""

Changes = tuple[AbstractUpdate, ...]
"""All updates of one matrix in one step."""


def outer(post: Float[Array, " post"], pre: Float[Array, " pre"]) -> Float[Array, "post pre"]:
    """``post pre^T``."""
    # As a product without a contraction: it is fused into its consumer like a broadcast, but its derivatives
    # are matrix-vector products, many times faster than the sums over a matrix that a broadcast leaves.
    return jax.lax.dot_general(post, pre, (((), ()), ((), ())))


def multiply(left: Coefficient, right: Coefficient) -> Coefficient:
    """Product of two coefficients, where a vector means one number per row (post-synaptic neuron)."""
    left, right = _by_row(left, right)
    return left * right


def merge(updates: Iterable[AbstractUpdate]) -> Changes:
    """The same total change with fewer updates.

    Outer products with the very same post-synaptic factor are added, and so are decays.
    """
    pre_by_post: dict[int, Outer] = {}
    decays, others = [], []
    for update in updates:
        if isinstance(update, Outer):
            seen = pre_by_post.get(id(update.post))
            pre_by_post[id(update.post)] = update if seen is None else Outer(seen.post, seen.pre + update.pre)
        else:
            (decays if isinstance(update, Decay) else others).append(update)
    decay = [Decay(reduce(_add, map(_rate, decays)))] if decays else []
    return (*pre_by_post.values(), *others, *decay)


def apply(weight: Float[Array, "*shape"], updates: Iterable[AbstractUpdate]) -> Float[Array, "*shape"]:
    """Weights after all updates; each is evaluated on the weights before any of them.

    What is no matrix can only stay as it is, without any updates.
    """
    changes = [update.dense(weight) for update in merge(updates)]
    return sum(changes, start=weight)


def undo(weight: Float[Array, "*shape"], updates: Iterable[AbstractUpdate]) -> Float[Array, "*shape"]:
    """Weights before the updates, given those after them: :func:`apply` run backwards, up to rounding.

    A decay with a rate of one forgets the weights and cannot be undone.
    """
    # All decays in one: their rates add up.
    merged = merge(update.whole() if isinstance(update, GatedDecay) else update for update in updates)
    added = [update.dense(weight) for update in merged if not isinstance(update, Decay)]
    weight = weight - sum(added[1:], start=added[0]) if added else weight
    for decay in (update for update in merged if isinstance(update, Decay)):
        weight = multiply(1 / (1 - _rate(decay)), weight)
    return weight


def pull_back(
    weight: Float[Array, "*shape"], updates: Changes, weight_bar: Float[Array, "*shape"]
) -> tuple[Float[Array, "*shape"], Changes]:
    """The derivative of :func:`apply`, backwards: cotangents of the weights before the updates, and of the updates."""
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


def _by_column(coefficient: Coefficient, post: Float[Array, "batch post"]) -> Float[Array, "batch post"]:
    """A batch of post-synaptic vectors times one number, or one for every neuron."""
    return post * (coefficient if coefficient.ndim == 0 else coefficient[None])


def _by_row(left: Coefficient, right: Coefficient) -> tuple[Array, Array]:
    """The two with as many dimensions as they need to be combined entry by entry."""
    if left.ndim == 1 and right.ndim == 2:
        return left[:, None], right
    if left.ndim == 2 and right.ndim == 1:
        return left, right[:, None]
    return left, right


def _add(left: Coefficient, right: Coefficient) -> Coefficient:
    left, right = _by_row(left, right)
    return left + right
