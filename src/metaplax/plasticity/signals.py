"""What one layer of synapses can see: the type that makes plasticity local."""

from functools import cached_property

import equinox as eqx
from jaxtyping import Array, Float


class Signals(eqx.Module):
    """Activity and error on both sides of the synapses of one layer, and their own weights.

    A plasticity term receives this and nothing else, so it cannot depend on another layer. With
    ``l`` the post-synaptic layer: ``post`` is ``y_l``, ``pre`` is ``y_{l-1}``, ``post_error`` is
    ``e_l``, ``pre_error`` is ``e_{l-1}``, and ``preactivation`` is the ``z_l = W y_{l-1}``.
    """

    pre: Float[Array, " pre"]
    post: Float[Array, " post"]
    pre_error: Float[Array, " pre"]
    post_error: Float[Array, " post"]
    preactivation: Float[Array, " post"]
    weight: Float[Array, "post pre"]

    def project(self, v: Float[Array, " pre"]) -> Float[Array, " post"]:
        """``W v``: what the post-synaptic neurons receive when the pre-synaptic ones carry ``v``."""
        return self.weight @ v

    def back_project(self, u: Float[Array, " post"]) -> Float[Array, " pre"]:
        """``W^T u``: what the pre-synaptic neurons would receive back through the same synapses."""
        return u @ self.weight

    @cached_property
    def reconstruction(self) -> Float[Array, " pre"]:
        """``W^T y_l``: the pre-synaptic activity as the post-synaptic one would predict it.

        Several terms need it; asking for it here makes it one product for all of them.
        """
        return self.back_project(self.post)
