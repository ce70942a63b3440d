"""Feedback through the transpose of the forward weights (backprop), or through their signs."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.feedback.base import AbstractFeedback, Error, Errors, chain
from metaplax.networks import MLP, Activity, Weights


class Symmetric(AbstractFeedback):
    """Backprop: ``B_l = W_l^T`` with the current weights.

    Args:
        meta_gradient: how the *meta*-gradient treats the dependence of the feedback on the weights. ``"exact"``
            differentiates it. ``"detached"`` treats the feedback as a constant. ``"as_released"`` does what the
            published code does: the feedback is a constant that, by the time the gradient is taken, has been
            overwritten by the weights at the end of the episode. The forward pass is the same for all three.
    """

    meta_gradient: Literal["exact", "detached", "as_released"] = "exact"

    def init(self, key: Key[Array, ""], network: MLP) -> None:
        return None

    @property
    def looks_ahead(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.meta_gradient == "as_released"

    def errors(self, state: PyTree, network: MLP, weights: Weights, activity: Activity, output_error: Error) -> Errors:
        if self.meta_gradient == "exact":
            return chain(network, activity, output_error, [lambda e, w=w: e @ w for w in weights])
        constant = jax.lax.stop_gradient(weights)
        pairs = zip(constant, constant if state is None else state, strict=True)
        back = [lambda e, w=w, final=final: stale_product(e, w, final) for w, final in pairs]
        return chain(network, activity, output_error, back)

    def look_ahead(self, state: Weights | None, final_weights: Weights) -> Weights:
        return jax.lax.stop_gradient(final_weights)


class SignSymmetric(AbstractFeedback):
    """``B_l = sign(W_l) |M_l|``: the signs of the forward weights with fixed random magnitudes.

    The meta-gradient treats the sign as locally constant. Source: Liao, Leibo & Poggio (2016).
    """

    def init(self, key: Key[Array, ""], network: MLP) -> Weights:
        return tuple(jnp.abs(m) for m in network.init(key))

    def errors(self, state: PyTree, network: MLP, weights: Weights, activity: Activity, output_error: Error) -> Errors:
        pairs = zip(weights, state, strict=True)
        return chain(network, activity, output_error, [lambda e, w=w, m=m: e @ (jnp.sign(w) * m) for w, m in pairs])


def stale_product(
    error: Float[Array, " post"], weight: Float[Array, "post pre"], final: Float[Array, "post pre"]
) -> Float[Array, " pre"]:
    """``error @ weight``, whose derivative with respect to ``error`` is that of ``error @ final``."""
    at_end = error @ final
    return at_end + jax.lax.stop_gradient(error @ weight - at_end)
