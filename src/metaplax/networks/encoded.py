"""A plastic network that sees features in place of the inputs themselves."""

import equinox as eqx
from jaxtyping import Array, Key, Num, PyTree

from metaplax.networks.encoders import AbstractEncoder
from metaplax.networks.populations import AbstractPlasticNetwork, Connection, Population, Weights
from metaplax.networks.readouts import AbstractReadout
from metaplax.networks.wiring import Shape


class Encoded(AbstractPlasticNetwork):
    """A plastic network behind an encoder, whose weights are meta-learned and do not change within an episode.

    Args:
        encoder: makes features of inputs.
        network: sees the features.
        key: randomness of the weights of the encoder.

    Raises:
        ValueError: the network does not take so many features.
    """

    encoder: AbstractEncoder
    network: AbstractPlasticNetwork
    weights: PyTree

    def __init__(self, encoder: AbstractEncoder, network: AbstractPlasticNetwork, key: Key[Array, ""]):
        if network.inputs != (encoder.features,):
            raise ValueError(
                f"the encoder gives {encoder.features} features, but the network takes inputs of shape {network.inputs}"
            )
        self.encoder, self.network, self.weights = encoder, network, encoder.init(key)

    @property
    def readout(self) -> AbstractReadout:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.network.readout

    @property
    def populations(self) -> tuple[Population, ...]:
        return self.network.populations

    @property
    def connections(self) -> tuple[Connection, ...]:
        return self.network.connections

    @property
    def inputs(self) -> Shape:
        return self.encoder.shape

    def init(self, key: Key[Array, ""]) -> Weights:
        return self.network.init(key)

    def features(self, x: Num[Array, "..."]) -> Num[Array, "..."]:
        return self.encoder.of_many(self.weights, x)

    def redrawn(self, key: Key[Array, ""]) -> "Encoded":
        return eqx.tree_at(lambda it: it.weights, self, self.encoder.init(key))
