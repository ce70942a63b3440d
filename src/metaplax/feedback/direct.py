"""Feedback from the output straight to every layer, alone or together with feedback from layer to layer."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.feedback.base import AbstractFeedback, Error, Errors, chain
from metaplax.feedback.random_weights import RandomFixed
from metaplax.networks import MLP, Activity, Weights
from metaplax.networks.mlp import glorot_uniform


class Direct(AbstractFeedback):
    """Direct feedback alignment: ``e_l = D_l^T e_L * sigma'(z_l)`` for all layers below the output, the input included.

    ``D_l`` has shape ``(n_L, n_l)`` and is Glorot uniform. Source: Nøkland (2016).
    """

    def init(self, key: Key[Array, ""], network: MLP) -> Weights:
        *below, output = network.sizes
        return glorot_uniform(key, [(output, size) for size in below])

    def errors(self, state: PyTree, network: MLP, weights: Weights, activity: Activity, output_error: Error) -> Errors:
        return chain(network, activity, output_error, [lambda e, d=d: output_error @ d for d in state])


class ChainAndDirect(AbstractFeedback):
    """``e_{l-1} = (chain B_l^T e_l + direct D_{l-1}^T e_L) * sigma'(z_{l-1})``; both gains are meta-learned.

    Meta-learning thus selects the pathway. The layer below the output is reached by both in one step. Matrices are
    drawn as those of ``RandomFixed`` and ``Direct``.

    Args:
        chain: initial gain of the error of the layer above.
        direct: initial gain of the output error.
    """

    chain: Float[Array, ""]
    direct: Float[Array, ""]

    def __init__(self, chain: float = 0.5, direct: float = 0.5):
        self.chain, self.direct = jnp.asarray(chain, float), jnp.asarray(direct, float)

    def init(self, key: Key[Array, ""], network: MLP) -> tuple[Weights, Weights]:
        chain_key, direct_key = jax.random.split(key)
        return RandomFixed().init(chain_key, network), Direct().init(direct_key, network)

    def errors(self, state: PyTree, network: MLP, weights: Weights, activity: Activity, output_error: Error) -> Errors:
        pairs = zip(*state, strict=True)
        back = [lambda e, b=b, d=d: self.chain * (e @ b) + self.direct * (output_error @ d) for b, d in pairs]
        return chain(network, activity, output_error, back)

    def scalars(self) -> dict[str, Float[Array, ""]]:
        return {"gain_chain": self.chain, "gain_direct": self.direct}
