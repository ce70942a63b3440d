"""Feedback through the transpose of the forward weights (backprop), or through their signs."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from metaplax.feedback.base import AbstractFeedback, chain, forward, through
from metaplax.networks import AbstractPlasticNetwork, Weights


class Symmetric(AbstractFeedback):
    """Backprop: ``B_l = W_l^T`` with the current weights.

    Args:
        meta_gradient: how the *meta*-gradient treats the dependence of the feedback on the weights. ``"exact"``
            differentiates it. ``"detached"`` treats the feedback as a constant. ``"as_released"`` does what the
            published code does: the feedback is a constant that, by the time the gradient is taken, has been
            overwritten by the weights at the end of the episode. The forward pass is the same for all three.
    """

    meta_gradient: Literal["exact", "detached", "as_released"] = "exact"

    def init(self, key: Key[Array, ""], network: AbstractPlasticNetwork) -> None:
        return None

    @property
    def looks_ahead(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.meta_gradient == "as_released"

    def errors(self, state, network, weights, activity, output_error, key):
        if self.meta_gradient == "exact":
            return chain(network, activity, output_error, through(network, forward(network, weights)))
        now = through(network, forward(network, jax.lax.stop_gradient(weights)))
        if state is None:
            return chain(network, activity, output_error, now)
        pairs = zip(now, through(network, forward(network, state)), strict=True)
        back = [lambda e, now=now, final=final: stale(now, final, e) for now, final in pairs]
        return chain(network, activity, output_error, back)

    def look_ahead(self, state: Weights | None, final_weights: Weights) -> Weights:
        return jax.lax.stop_gradient(final_weights)


class SignSymmetric(AbstractFeedback):
    """``B_l = sign(W_l) |M_l|``: the signs of the forward weights with fixed random magnitudes.

    The meta-gradient treats the sign as locally constant. Source: Liao, Leibo & Poggio (2016).
    """

    def init(self, key: Key[Array, ""], network: AbstractPlasticNetwork) -> Weights:
        return tuple(jnp.abs(m) for m in forward(network, network.init(key)))

    def errors(self, state, network, weights, activity, output_error, key):
        matrices = [jnp.sign(w) * m for w, m in zip(forward(network, weights), state, strict=True)]
        return chain(network, activity, output_error, through(network, matrices))


def stale(now: Callable, final: Callable, error: Float[Array, "..."]) -> Float[Array, "..."]:
    """``now(error)``, whose derivative with respect to ``error`` is that of ``final(error)``."""
    at_end = final(error)
    return at_end + jax.lax.stop_gradient(now(error) - at_end)
