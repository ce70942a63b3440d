"""Feedback from the output straight to every layer, alone or together with feedback from layer to layer."""

from math import prod

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from metaplax.feedback.base import AbstractFeedback, Error, Errors, PerPopulation, chain, through, told
from metaplax.feedback.random_weights import RandomFixed
from metaplax.networks import AbstractPlasticNetwork, Weights
from metaplax.networks.layers import glorot_uniform


class Direct(AbstractFeedback):
    """Direct feedback alignment: ``e_l = D_l^T e_L * sigma'(z_l)`` for all layers below the output, the input included.

    ``D_l`` has shape ``(n_L, n_l)`` and is Glorot uniform. Source: Nøkland (2016).
    """

    def init(self, key: Key[Array, ""], network: AbstractPlasticNetwork) -> Weights:
        sizes = [prod(population.shape) for population in network.populations[:-1]]
        return glorot_uniform(key, [(network.outputs, size) for size in sizes])

    def errors(self, state, network, weights, activity, output_error, key):
        signals = (*straight(network, state, output_error), output_error)
        errors = tuple(told(network, activity, number, signal) for number, signal in enumerate(signals))
        return Errors(errors, signals)


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

    def init(self, key: Key[Array, ""], network: AbstractPlasticNetwork) -> tuple[Weights, Weights]:
        chain_key, direct_key = jax.random.split(key)
        return RandomFixed().init(chain_key, network), Direct().init(direct_key, network)

    def errors(self, state, network, weights, activity, output_error, key):
        matrices, straight_ones = state
        back = [lambda e, carry=carry: self.chain * carry(e) for carry in through(network, matrices)]
        direct = tuple(self.direct * signal for signal in straight(network, straight_ones, output_error))
        return chain(network, activity, output_error, back, direct)

    def scalars(self) -> dict[str, Float[Array, ""]]:
        return {"gain_chain": self.chain, "gain_direct": self.direct}


def straight(network: AbstractPlasticNetwork, matrices: Weights, output_error: Error) -> PerPopulation:
    """The output error through one matrix of shape ``(outputs, neurons)`` for every population below the output."""
    pairs = zip(matrices, network.populations, strict=False)
    return tuple((output_error @ matrix).reshape(population.shape) for matrix, population in pairs)
