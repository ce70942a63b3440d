"""An encoder followed by fully connected layers: the network that learns from streams of minibatches."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key, Num, PyTree

from metaplax.networks.encoders import AbstractEncoder
from metaplax.networks.layers import Affine, dense_layers
from metaplax.networks.readouts import AbstractReadout


class EncoderWeights(eqx.Module):
    """Weights of the encoder, and weights and biases of the layers behind it."""

    encoder: PyTree
    layers: tuple[Affine, ...]


class EncoderMLP(eqx.Module):
    """An encoder, then fully connected layers with biases: ReLU in hidden layers, linear outputs.

    Args:
        encoder: maps inputs to features.
        sizes: number of neurons of each layer behind the encoder; the last one is the output layer.
        readout: nonlinearity and loss of the output layer.

    Raises:
        ValueError: there is no layer behind the encoder, or a size is below one.

    Source: Lindsey & Litwin-Kumar (2020), section 3, and code.
    """

    encoder: AbstractEncoder
    sizes: tuple[int, ...] = eqx.field(static=True)
    readout: AbstractReadout

    def __check_init__(self):
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError(f"behind the encoder there must be layers of at least one neuron each, not {self.sizes}")

    @property
    def all_sizes(self) -> tuple[int, ...]:
        """Number of features, then of neurons of each layer behind the encoder."""
        return (self.encoder.features, *self.sizes)

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.sizes[-1]

    def init(self, key: Key[Array, ""]) -> EncoderWeights:
        """Draw Kaiming normal weights; biases are zero."""
        encoder_key, layer_key = jax.random.split(key)
        return EncoderWeights(self.encoder.init(encoder_key), dense_layers(layer_key, self.all_sizes))

    def activity(
        self, layers: tuple[Affine, ...], features: Float[Array, "batch features"]
    ) -> tuple[Float[Array, "batch _"], ...]:
        """The features, and the activity of every layer behind the encoder; the last one is the output."""
        y = [features]
        for number, layer in enumerate(layers, start=1):
            preactivation = y[-1] @ layer.weight.T + layer.bias[None]
            y.append(jax.nn.relu(preactivation) if number < len(layers) else preactivation)
        return tuple(y)

    def __call__(self, weights: EncoderWeights, x: Num[Array, "batch ..."]) -> Float[Array, "batch outputs"]:
        """Outputs for a batch of inputs."""
        return self.activity(weights.layers, self.encoder(weights.encoder, x))[-1]
