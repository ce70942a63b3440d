"""Front layers with fully connected ones behind them: what learns a stream, and what it sees of it."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key, Num, PyTree

from metaplax.networks.encoders import AbstractEncoder, Affine, dense_layers
from metaplax.networks.readouts import AbstractReadout


class EncoderWeights(eqx.Module):
    """Weights and biases of the encoder layers and of those behind them."""

    encoder: PyTree
    layers: tuple[Affine, ...]


class EncoderMLP(eqx.Module):
    """Front layers, then fully connected ones with biases: ReLU in between, linear outputs.

    Args:
        encoder: the encoder layers.
        sizes: of the fully connected layers behind them, without their input.
        readout: what the outputs mean, and their loss.

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
        """Sizes of the fully connected layers, with their input."""
        return (self.encoder.features, *self.sizes)

    @property
    def outputs(self) -> int:
        """How many outputs there are."""
        return self.sizes[-1]

    def init(self, key: Key[Array, ""]) -> EncoderWeights:
        """Draw Kaiming normal weights, without biases yet."""
        front_key, layer_key = jax.random.split(key)
        return EncoderWeights(self.encoder.init(front_key), dense_layers(layer_key, self.all_sizes))

    def activity(
        self, layers: tuple[Affine, ...], features: Float[Array, "batch features"]
    ) -> tuple[Float[Array, "batch _"], ...]:
        """Features, and the activity of every layer behind the encoder; the last one is the output."""
        y = [features]
        for number, layer in enumerate(layers, start=1):
            preactivation = y[-1] @ layer.weight.T + layer.bias[None]
            y.append(jax.nn.relu(preactivation) if number < len(layers) else preactivation)
        return tuple(y)

    def __call__(self, weights: EncoderWeights, x: Num[Array, "batch ..."]) -> Float[Array, "batch outputs"]:
        """Outputs for a batch of inputs."""
        return self.activity(weights.layers, self.encoder(weights.encoder, x))[-1]
