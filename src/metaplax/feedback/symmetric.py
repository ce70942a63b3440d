"""Feedback through the transpose of the forward weights (backprop), or through their signs."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from metaplax.feedback.base import AbstractFeedback, Errors, chain
from metaplax.networks import MLP, Activity, Weights


class Symmetric(AbstractFeedback):
    """Backprop: ``B_l = W_l^T`` with the weights of the moment.

    Args:
        meta_gradient: what the *meta*-gradient does with the dependence of the feedback on the weights.
            ``"exact"`` follows it. ``"detached"`` treats the feedback as a constant. ``"as_released"``
            does what the published code does: the feedback is a constant which, when the gradient is
            taken, has been overwritten by the weights at the end of the episode. The forward pass is the
            same for all three.
    """

    meta_gradient: Literal["exact", "detached", "as_released"] = "exact"

    def init(self, key: Key[Array, ""], network: MLP) -> Weights | None:
        return None

    @property
    def looks_ahead(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.meta_gradient == "as_released"

    def errors(
        self,
        state: Weights | None,
        network: MLP,
        weights: Weights,
        activity: Activity,
        output_error: Float[Array, " n_L"],
    ) -> Errors:
        if self.meta_gradient == "exact":
            return chain(network, activity, output_error, [lambda e, w=w: e @ w for w in weights])
        constant = jax.lax.stop_gradient(weights)
        final = constant if state is None else state
        pairs = zip(constant, final, strict=True)
        return chain(
            network, activity, output_error, [lambda e, w=w, end=end: stale_product(e, w, end) for w, end in pairs]
        )

    def look_ahead(self, state: Weights | None, final_weights: Weights) -> Weights:
        return jax.lax.stop_gradient(final_weights)


class SignSymmetric(AbstractFeedback):
    """``B_l = sign(W_l) |M_l|``: the signs of the forward weights with fixed random magnitudes.

    Source: Liao, Leibo & Poggio (2016); the meta-gradient treats the sign as locally constant.
    """

    def init(self, key: Key[Array, ""], network: MLP) -> Weights:
        return tuple(jnp.abs(m) for m in network.init(key))

    def errors(
        self, state: Weights, network: MLP, weights: Weights, activity: Activity, output_error: Float[Array, " n_L"]
    ) -> Errors:
        pairs = zip(weights, state, strict=True)
        return chain(network, activity, output_error, [lambda e, w=w, m=m: e @ (jnp.sign(w) * m) for w, m in pairs])


def stale_product(
    error: Float[Array, " post"], weight: Float[Array, "post pre"], final: Float[Array, "post pre"]
) -> Float[Array, " pre"]:
    """``error @ weight``, whose derivative with respect to ``error`` is that of ``error @ final``."""
    at_end = error @ final
    return at_end + jax.lax.stop_gradient(error @ weight - at_end)
