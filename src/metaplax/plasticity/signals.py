"""The signals that one layer of synapses has access to: they make plasticity local."""

from functools import cached_property

import equinox as eqx
from jaxtyping import Array, Float


class Signals(eqx.Module):
    """Activity and error on both sides of the synapses of one layer, and their weights.

    A plasticity term receives nothing else, so it cannot depend on another layer.

    Attributes:
        pre: pre-synaptic activity ``y_{l-1}``.
        post: post-synaptic activity ``y_l``.
        pre_error: pre-synaptic error ``e_{l-1}``.
        post_error: post-synaptic error ``e_l``.
        preactivation: weighted input ``z_l = W y_{l-1}`` of the post-synaptic neurons.
        weight: the weights ``W``.
    """

    pre: Float[Array, " pre"]
    post: Float[Array, " post"]
    pre_error: Float[Array, " pre"]
    post_error: Float[Array, " post"]
    preactivation: Float[Array, " post"]
    weight: Float[Array, "post pre"]

    def project(self, v: Float[Array, " pre"]) -> Float[Array, " post"]:
        """``W v``: a pre-synaptic vector sent forward through the synapses."""
        return self.weight @ v

    def back_project(self, u: Float[Array, " post"]) -> Float[Array, " pre"]:
        """``W^T u``: a post-synaptic vector sent backward through the same synapses."""
        return u @ self.weight

    @cached_property
    def reconstruction(self) -> Float[Array, " pre"]:
        """``W^T y_l``: the pre-synaptic activity as predicted from the post-synaptic one.

        It is cached, so that all terms that need it share one matrix-vector product.
        """
        return self.back_project(self.post)
