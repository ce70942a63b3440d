"""A fully connected network that returns the activity and the preactivation of every layer."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from metaplax.networks.activations import AbstractActivation, Softplus
from metaplax.networks.readouts import AbstractReadout, SoftmaxCrossEntropy

Weights = tuple[Float[Array, "_ _"], ...]
"""One matrix per layer; row ``j`` belongs to post-synaptic neuron ``j``, column ``k`` to pre-synaptic ``k``."""


class Activity(eqx.Module):
    """The result of a forward pass.

    Attributes:
        y: ``y[0]`` is the input and ``y[l]`` the activity of layer ``l = 1..L``.
        z: ``z[l - 1]`` is the preactivation of layer ``l``.
    """

    y: tuple[Float[Array, "..."], ...]
    z: tuple[Float[Array, "..."], ...]

    @property
    def logits(self) -> Float[Array, "..."]:
        """Preactivation of the output layer."""
        return self.z[-1]


class MLP(eqx.Module):
    """``y_l = sigma(W_l y_{l-1})`` without biases.

    Args:
        sizes: number of neurons per layer, input first, e.g. ``(784, 170, 130, 100, 70, 47)``.
        activation: nonlinearity of the hidden layers; by default ``Softplus()``.
        readout: nonlinearity and loss of the output layer; by default ``SoftmaxCrossEntropy()``.

    Raises:
        ValueError: fewer than two layers, or a size below one.

    Source: Shervani-Tabar & Rosenbaum (2023), Eqs. 1, 2 and 13.
    """

    sizes: tuple[int, ...] = eqx.field(static=True)
    activation: AbstractActivation
    readout: AbstractReadout

    def __init__(
        self, sizes: Sequence[int], activation: AbstractActivation | None = None, readout: AbstractReadout | None = None
    ):
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"an MLP needs at least two layers of at least one neuron each, not {tuple(sizes)}")
        self.sizes = tuple(sizes)
        self.activation = Softplus() if activation is None else activation
        self.readout = SoftmaxCrossEntropy() if readout is None else readout

    @property
    def depth(self) -> int:
        """Number of weight matrices ``L``."""
        return len(self.sizes) - 1

    def init(self, key: Key[Array, ""]) -> Weights:
        """Draw ``L`` matrices of shape ``(sizes[l], sizes[l - 1])`` from the Glorot uniform distribution."""
        return glorot_uniform(key, tuple(zip(self.sizes[1:], self.sizes[:-1], strict=True)))

    def forward(self, weights: Weights, x: Float[Array, " n_0"]) -> Activity:
        """Forward pass for one input of shape ``(sizes[0],)``."""
        y, z = [x], []
        for layer, weight in enumerate(weights, start=1):
            z.append(weight @ y[-1])
            y.append(self.activation(z[-1]) if layer < self.depth else self.readout(z[-1]))
        return Activity(tuple(y), tuple(z))


def glorot_uniform(key: Key[Array, ""], shapes: Sequence[tuple[int, int]]) -> Weights:
    """Matrices, each uniform in ``[-r, r]`` with ``r = sqrt(6 / (post + pre))`` (Glorot & Bengio, 2010)."""
    # One draw for all of them, because every call of the generator adds to the time of compilation.
    numbers = jax.random.uniform(key, (sum(post * pre for post, pre in shapes),), jnp.result_type(float), -1.0, 1.0)
    matrices, used = [], 0
    for post, pre in shapes:
        bound = (6.0 / (post + pre)) ** 0.5
        matrices.append(bound * numbers[used : used + post * pre].reshape(post, pre))
        used += post * pre
    return tuple(matrices)
