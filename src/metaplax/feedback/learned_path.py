"""A learned feedback pathway from the output straight to one layer."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from metaplax.networks import Affine
from metaplax.networks.layers import dense_layers


class LearnedPath(eqx.Module):
    """``f = ReLU(B s + c)``, or several such maps in sequence: the feedback that a layer receives for a signal ``s``.

    It uses neither derivatives of activations nor forward weights.

    Args:
        key: key of the initial weights, which are Kaiming normal; biases start at zero.
        sizes: sizes of the signal, of hidden layers of the path if there are any, and of the layer that receives it.
        gain: factor of the initial weights, in every layer of the path.
        identity: start with the identity times ``gain`` in place of random weights.
        linear: leave out the ReLUs.

    Source: Lindsey & Litwin-Kumar (2020), section 3.
    """

    layers: tuple[Affine, ...]
    gain: float = eqx.field(static=True)
    identity: bool = eqx.field(static=True)
    linear: bool = eqx.field(static=True)

    def __init__(
        self,
        key: Key[Array, ""],
        sizes: Sequence[int],
        *,
        gain: float = 1.0,
        identity: bool = False,
        linear: bool = False,
    ):
        self.gain, self.identity, self.linear = gain, identity, linear
        layers = []
        for layer in dense_layers(key, tuple(sizes)):
            weight = jnp.eye(*layer.weight.shape, dtype=layer.weight.dtype) if identity else layer.weight
            layers.append(Affine(gain * weight, layer.bias))
        self.layers = tuple(layers)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the signal, of the hidden layers of the path, and of the layer that receives the feedback."""
        return (self.layers[0].weight.shape[1], *(layer.weight.shape[0] for layer in self.layers))

    def redrawn(self, key: Key[Array, ""]) -> "LearnedPath":
        """The same path with other random weights."""
        return LearnedPath(key, self.sizes, gain=self.gain, identity=self.identity, linear=self.linear)

    def __call__(self, signal: Float[Array, "batch outputs"]) -> Float[Array, "batch post"]:
        """The feedback for a batch of signals."""
        for layer in self.layers:
            signal = signal @ layer.weight.T + layer.bias[None]
            signal = signal if self.linear else jax.nn.relu(signal)
        return signal
