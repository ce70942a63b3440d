"""The fully connected network of most published plasticity rules."""

from collections.abc import Sequence
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from metaplax.networks.activations import AbstractActivation, Softplus
from metaplax.networks.layers import kaiming_normal
from metaplax.networks.neurons import Instant
from metaplax.networks.populations import AbstractPlasticNetwork, Activity, Connection, Population, Weights
from metaplax.networks.readouts import AbstractReadout, SoftmaxCrossEntropy
from metaplax.networks.wiring import Full

Drawn = Literal["glorot", "kaiming"]


class MLP(AbstractPlasticNetwork):
    """``y_l = sigma(W_l y_{l-1})``, or with biases ``sigma(W_l [y_{l-1}, 1])``.

    Weights are drawn at random, and biases start at zero. The synthetic error of the input, ``e_0``, is multiplied by
    ``sigma'`` as if the input had gone through the activation: ``1 - exp(-beta x)`` for softplus.

    Args:
        sizes: number of neurons per layer, input first, e.g. ``(784, 170, 130, 100, 70, 47)``.
        activation: nonlinearity of the hidden layers; by default ``Softplus()``.
        readout: nonlinearity and loss of the output layer; by default ``SoftmaxCrossEntropy()``.
        bias: whether every layer has biases, which are the synapses from one more neuron that is always on: the last
            column of its weights. ``"fixed"`` for biases that are no synapses: they are meta-learned, and do not change
            within an episode.
        drawn: distribution of the weights: Glorot uniform, or Kaiming normal.
        gain: factor of the weights that are drawn.

    Raises:
        ValueError: fewer than two layers, a size below one, or a gain that is not positive.

    Source: Shervani-Tabar & Rosenbaum (2023), Eqs. 1, 2 and 13.
    """

    sizes: tuple[int, ...] = eqx.field(static=True)
    activation: AbstractActivation
    readout: AbstractReadout
    bias: bool = eqx.field(static=True)
    drawn: Drawn = eqx.field(static=True)
    gain: float = eqx.field(static=True)
    offsets: tuple[Float[Array, " _"], ...] | None

    def __init__(
        self,
        sizes: Sequence[int],
        activation: AbstractActivation | None = None,
        readout: AbstractReadout | None = None,
        bias: bool | Literal["fixed"] = False,
        drawn: Drawn = "glorot",
        gain: float = 1.0,
    ):
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"an MLP needs at least two layers of at least one neuron each, not {tuple(sizes)}")
        if not 0 < gain < float("inf"):
            raise ValueError(f"the gain of the weights is a positive number, not {gain}")
        self.sizes, self.gain = tuple(sizes), float(gain)
        self.activation = Softplus() if activation is None else activation
        self.readout = SoftmaxCrossEntropy() if readout is None else readout
        self.bias, self.drawn = bias is True, drawn
        self.offsets = tuple(jnp.zeros(size) for size in self.sizes[1:]) if bias == "fixed" else None

    @property
    def depth(self) -> int:
        """Number of weight matrices ``L``."""
        return len(self.sizes) - 1

    @property
    def populations(self) -> tuple[Population, ...]:
        activations = [*[self.activation] * self.depth, None]
        offsets = [None, *(self.offsets or [None] * self.depth)]
        kinds = [Instant(*each) for each in zip(activations, offsets, strict=True)]
        return tuple(Population((size,), kind) for size, kind in zip(self.sizes, kinds, strict=True))

    @property
    def connections(self) -> tuple[Connection, ...]:
        pairs = zip(self.sizes[:-1], self.sizes[1:], strict=True)
        wirings = [Full(inputs=pre, outputs=post, bias=self.bias) for pre, post in pairs]
        return tuple(Connection(layer, layer + 1, wiring) for layer, wiring in enumerate(wirings))

    def init(self, key: Key[Array, ""]) -> Weights:
        drawn = super().init(key) if self.drawn == "glorot" else self._kaiming(key)
        return drawn if self.gain == 1 else tuple(self.gain * weight for weight in drawn)

    def _kaiming(self, key: Key[Array, ""]) -> Weights:
        keys = jax.random.split(key, self.depth)
        drawn = (
            kaiming_normal(k, (post, pre), pre) for k, pre, post in zip(keys, self.sizes, self.sizes[1:], strict=False)
        )
        return tuple(jnp.pad(weight, ((0, 0), (0, int(self.bias)))) for weight in drawn)

    def forward(self, weights: Weights, x: Float[Array, " n_0"]) -> Activity:
        """Forward pass for one input of shape ``(sizes[0],)``."""
        return self.run(weights, x)
