"""The small algebra of weight updates that plasticity terms are written in.

Nearly every published plasticity rule is a sum of outer products of a post-synaptic and a
pre-synaptic vector. Keeping the two vectors apart, instead of multiplying them out, is what lets
an engine gather many steps into one matrix product, or undo a step exactly.
"""

from abc import abstractmethod
from collections.abc import Iterable

import equinox as eqx
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


class Outer(AbstractUpdate):
    """``post pre^T``: change every synapse by a product of one post- and one pre-synaptic number."""

    post: Float[Array, " post"]
    pre: Float[Array, " pre"]

    def scaled(self, coefficient: Coefficient) -> "Outer | Dense":
        # A scalar goes to the pre-synaptic side so that terms sharing a post-synaptic factor can be merged.
        if coefficient.ndim == 0:
            return Outer(self.post, coefficient * self.pre)
        if coefficient.ndim == 1:
            return Outer(coefficient * self.post, self.pre)
        return Dense(coefficient * self.dense(coefficient))

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        del weight
        return self.post[:, None] * self.pre[None, :]


class Decay(AbstractUpdate):
    """``-rate W``: shrink weights towards zero, with one rate, one per post-synaptic neuron or one per synapse."""

    rate: Coefficient

    def scaled(self, coefficient: Coefficient) -> "Decay":
        return Decay(multiply(coefficient, self.rate))

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        return -multiply(self.rate, weight)


class Dense(AbstractUpdate):
    """Any matrix at all: always correct, but no engine can take advantage of it."""

    matrix: Float[Array, "post pre"]

    def scaled(self, coefficient: Coefficient) -> "Dense":
        return Dense(multiply(coefficient, self.matrix))

    def dense(self, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
        del weight
        return self.matrix


def multiply(left: Coefficient, right: Coefficient) -> Coefficient:
    """Product of two coefficients, where a vector means one number per row (post-synaptic neuron)."""
    if left.ndim == 1 and right.ndim == 2:
        return left[:, None] * right
    if left.ndim == 2 and right.ndim == 1:
        return left * right[:, None]
    return left * right


def merge(updates: Iterable[AbstractUpdate]) -> tuple[AbstractUpdate, ...]:
    """The same total change with fewer outer products: those with the very same post-synaptic factor are added."""
    pre_by_post: dict[int, Outer] = {}
    others = []
    for update in updates:
        if isinstance(update, Outer):
            seen = pre_by_post.get(id(update.post))
            pre_by_post[id(update.post)] = update if seen is None else Outer(seen.post, seen.pre + update.pre)
        else:
            others.append(update)
    return (*pre_by_post.values(), *others)


def apply(weight: Float[Array, "post pre"], updates: Iterable[AbstractUpdate]) -> Float[Array, "post pre"]:
    """Weights after all updates; each is evaluated on the weights before any of them."""
    changes = [update.dense(weight) for update in merge(updates)]
    return sum(changes, start=weight)
