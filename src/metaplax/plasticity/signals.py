"""The signals that one layer of synapses has access to: they make plasticity local."""

from functools import cached_property

import equinox as eqx
from jaxtyping import Array, Float, Key


class Signals(eqx.Module):
    """Activity and error on both sides of the synapses of one layer, and their weights.

    A plasticity term receives nothing else, so it cannot depend on another layer. Where weights are shared by several
    positions of an image, these are the signals at one of them. A neuron that is always on, whose synapses are the
    biases, comes last among the pre-synaptic ones, with an activity of one and an error of zero.

    A term sees vectors. Before they come to a term, the signals of a whole sequence or image are kept together, with
    axes of time and positions in front.

    Attributes:
        pre: pre-synaptic activity ``y_{l-1}``.
        post: post-synaptic activity ``y_l``.
        pre_error: pre-synaptic error ``e_{l-1}``.
        post_error: post-synaptic error ``e_l``.
        preactivation: what the nonlinearity of the post-synaptic neurons is applied to: their weighted input
            ``z_l = W y_{l-1}``, the leaky sum of it, or the distance of a voltage from the threshold.
        weight: the weights ``W``.
        post_slope: derivative of the post-synaptic activity with respect to the preactivation.
        post_signal: the learning signal: what feedback tells the post-synaptic neurons before it is multiplied by the
            slope.
        modulator: signals that are broadcast to all synapses, such as a reward, if there are any. What a whole sequence
            is rewarded with arrives at its last step; before that it is zero.
        key: randomness of this step.
        perturbation: the part of the input current of the post-synaptic neurons that comes through no synapse, such as
            noise that a task draws, if there is such a part.
    """

    pre: Float[Array, "*axes pre"]
    post: Float[Array, "*axes post"]
    pre_error: Float[Array, "*axes pre"]
    post_error: Float[Array, "*axes post"]
    preactivation: Float[Array, "*axes post"]
    weight: Float[Array, "_ pre"]
    post_slope: Float[Array, "*axes post"] | None = None
    post_signal: Float[Array, "*axes post"] | None = None
    modulator: Float[Array, "... modulators"] | None = None
    key: Key[Array, "..."] | None = None
    perturbation: Float[Array, "*axes post"] | None = None

    def project(self, v: Float[Array, " pre"]) -> Float[Array, " post"]:
        """``W v``: a pre-synaptic vector sent forward through the synapses."""
        return self.weight @ v

    def back_project(self, u: Float[Array, " post"]) -> Float[Array, " pre"]:
        """``W^T u``: a post-synaptic vector sent backward through the same synapses."""
        return u @ self.weight

    @property
    def taught(self) -> Float[Array, "*axes post"]:
        """The activity that feedback wants of the post-synaptic neurons: their activity minus the learning signal.

        Raises:
            ValueError: the signals were made without a learning signal.
        """
        if self.post_signal is None:
            raise ValueError("this term needs a learning signal, which these signals lack")
        return self.post - self.post_signal

    @cached_property
    def reconstruction(self) -> Float[Array, " pre"]:
        """``W^T y_l``: the pre-synaptic activity as predicted from the post-synaptic one.

        It is cached, so that all terms that need it share one matrix-vector product.
        """
        return self.back_project(self.post)
