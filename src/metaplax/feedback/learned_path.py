"""A learned path for teaching signals, from the output straight to one layer."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from metaplax.networks import Affine
from metaplax.networks.encoders import dense_layers


class LearnedPath(eqx.Module):
    """``f = ReLU(B s + c)``, or several such maps after each other: what a layer is told about the output.

    No derivative of an activation and no forward weight occurs in it.

    Args:
        key: the weights are drawn Kaiming normal; biases start at zero.
        sizes: of the signal, of hidden layers of the path if there are any, and of the layer it leads to.
        gain: factor of the weights that are drawn, in every layer of the path.
        identity: start with the identity times ``gain`` in place of random weights.
        linear: leave the ReLUs out.

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
        drawn = dense_layers(key, tuple(sizes))
        self.layers = tuple(
            Affine(gain * (_identity_like(layer.weight) if identity else layer.weight), layer.bias) for layer in drawn
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of the signal, of what is in between, and of the layer it leads to."""
        return (self.layers[0].weight.shape[1], *(layer.weight.shape[0] for layer in self.layers))

    def redrawn(self, key: Key[Array, ""]) -> "LearnedPath":
        """The same path with other random weights."""
        return LearnedPath(key, self.sizes, gain=self.gain, identity=self.identity, linear=self.linear)

    def __call__(self, signal: Float[Array, "batch outputs"]) -> Float[Array, "batch post"]:
        """What arrives, for a batch of signals."""
        for layer in self.layers:
            signal = signal @ layer.weight.T + layer.bias[None]
            signal = signal if self.linear else jax.nn.relu(signal)
        return signal


def _identity_like(weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
    post, pre = weight.shape
    return jnp.eye(post, pre, dtype=weight.dtype)
