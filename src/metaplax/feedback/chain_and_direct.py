"""Two pathways at once: errors come down the chain of layers and straight from the output, with learned gains."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from metaplax.feedback.base import AbstractFeedback, Errors
from metaplax.feedback.direct import Direct
from metaplax.feedback.random_fixed import RandomFixed
from metaplax.networks import MLP, Activity, Weights


class ChainAndDirect(AbstractFeedback):
    """``e_{l-1} = (chain B_l^T e_l + direct D_{l-1}^T e_L) * sigma'(z_{l-1})``; both gains are meta-learned.

    Which pathway a network is taught by is then found by meta-learning. The layer below the output is reached by
    both in one step. Matrices are drawn as those of :class:`RandomFixed` and :class:`Direct`.

    Args:
        chain: gain of the error from the layer above.
        direct: gain of the error from the output.
    """

    chain: Float[Array, ""]
    direct: Float[Array, ""]

    def __init__(self, chain: float = 0.5, direct: float = 0.5):
        self.chain, self.direct = jnp.asarray(chain, float), jnp.asarray(direct, float)

    def init(self, key: Key[Array, ""], network: MLP) -> tuple[Weights, Weights]:
        chain_key, direct_key = jax.random.split(key)
        return RandomFixed().init(chain_key, network), Direct().init(direct_key, network)

    def errors(
        self,
        state: tuple[Weights, Weights],
        network: MLP,
        weights: Weights,
        activity: Activity,
        output_error: Float[Array, " n_L"],
    ) -> Errors:
        del weights
        chain, direct = state
        errors = [output_error]
        for layer in range(network.depth, 0, -1):
            taught = self.chain * (errors[-1] @ chain[layer - 1]) + self.direct * (output_error @ direct[layer - 1])
            errors.append(taught * network.activation.derivative(activity.y[layer - 1]))
        return tuple(reversed(errors))

    def scalars(self) -> dict[str, Float[Array, ""]]:
        return {"gain_chain": self.chain, "gain_direct": self.direct}
