"""The fully connected network of most published plasticity rules."""

from collections.abc import Sequence

import equinox as eqx
from jaxtyping import Array, Float

from metaplax.networks.activations import AbstractActivation, Softplus
from metaplax.networks.neurons import Instant
from metaplax.networks.populations import AbstractPlasticNetwork, Activity, Connection, Population, Weights
from metaplax.networks.readouts import AbstractReadout, SoftmaxCrossEntropy
from metaplax.networks.wiring import Full


class MLP(AbstractPlasticNetwork):
    """``y_l = sigma(W_l y_{l-1})``, or with biases ``sigma(W_l [y_{l-1}, 1])``.

    Weights are Glorot uniform and biases start at zero. The synthetic error of the input, ``e_0``, is multiplied by
    ``sigma'`` as if the input had gone through the activation: ``1 - exp(-beta x)`` for softplus.

    Args:
        sizes: number of neurons per layer, input first, e.g. ``(784, 170, 130, 100, 70, 47)``.
        activation: nonlinearity of the hidden layers; by default ``Softplus()``.
        readout: nonlinearity and loss of the output layer; by default ``SoftmaxCrossEntropy()``.
        bias: whether every layer has biases, which are the synapses from one more neuron that is always on: the last
            column of its weights.

    Raises:
        ValueError: fewer than two layers, or a size below one.

    Source: Shervani-Tabar & Rosenbaum (2023), Eqs. 1, 2 and 13.
    """

    sizes: tuple[int, ...] = eqx.field(static=True)
    activation: AbstractActivation
    readout: AbstractReadout
    bias: bool = eqx.field(static=True)

    def __init__(
        self,
        sizes: Sequence[int],
        activation: AbstractActivation | None = None,
        readout: AbstractReadout | None = None,
        bias: bool = False,
    ):
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"an MLP needs at least two layers of at least one neuron each, not {tuple(sizes)}")
        self.sizes = tuple(sizes)
        self.activation = Softplus() if activation is None else activation
        self.readout = SoftmaxCrossEntropy() if readout is None else readout
        self.bias = bias

    @property
    def depth(self) -> int:
        """Number of weight matrices ``L``."""
        return len(self.sizes) - 1

    @property
    def populations(self) -> tuple[Population, ...]:
        kinds = [Instant(self.activation)] * self.depth + [Instant()]
        return tuple(Population((size,), kind) for size, kind in zip(self.sizes, kinds, strict=True))

    @property
    def connections(self) -> tuple[Connection, ...]:
        pairs = zip(self.sizes[:-1], self.sizes[1:], strict=True)
        wirings = [Full(inputs=pre, outputs=post, bias=self.bias) for pre, post in pairs]
        return tuple(Connection(layer, layer + 1, wiring) for layer, wiring in enumerate(wirings))

    def forward(self, weights: Weights, x: Float[Array, " n_0"]) -> Activity:
        """Forward pass for one input of shape ``(sizes[0],)``."""
        return self.run(weights, x)
