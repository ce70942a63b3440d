"""Slow weights shared by all tasks, fast gains and shifts for each of them: top-down modulation."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.learners.base import IncompatibleError
from metaplax.learners.energy import AbstractMinimiser
from metaplax.learners.energy_network import AbstractNetworkLearner
from metaplax.networks import AbstractReadout, EquinoxNetwork


class Modulated(eqx.Module):
    """A layer whose units have gains and shifts: ``gain * (W x + b) + shift``."""

    layer: Any
    gain: Float[Array, " units"]
    shift: Float[Array, " units"]

    def __call__(self, x: Float[Array, "..."], *, key: Key[Array, ""] | None = None) -> Float[Array, "units ..."]:
        del key
        y = self.layer(x)
        shape = (-1,) + (1,) * (y.ndim - 1)
        return self.gain.reshape(shape) * y + self.shift.reshape(shape)


class Modulation(eqx.Module):
    """The fast parameters: gain and shift of every unit below the last layer, and the last layer itself."""

    gains: list[Float[Array, " units"]]
    shifts: list[Float[Array, " units"]]
    head: PyTree


class GainModulation(AbstractNetworkLearner):
    """``E = misfit`` of a network in which every unit below the output computes ``act(gain (W x + b) + shift)``.

    Gains, shifts and the last layer are fast and start at ones, zeros and where they were drawn; all other weights
    are slow. The slow weights occur in the network itself, so that the outer loss depends on them directly, too.

    Args:
        network: an Equinox network with at least two linear or convolutional layers, listed in the order in which
            they compute.
        readout: loss of both the support and the query set.
        minimiser: how the energy is minimised.
        key: of the weights outside of meta-training.

    Raises:
        IncompatibleError: the network has fewer than two such layers.

    Source: Zucchet et al. (2022), section 3.2.
    """

    network: EquinoxNetwork
    readout: AbstractReadout
    minimiser: AbstractMinimiser
    slow: PyTree

    def __init__(
        self,
        network: EquinoxNetwork,
        readout: AbstractReadout,
        minimiser: AbstractMinimiser,
        key: Key[Array, ""] | None = None,
    ):
        self.network = network  # pyright: ignore[reportIncompatibleVariableOverride]
        self.readout, self.minimiser = readout, minimiser
        self.slow = network.init(jax.random.key(0) if key is None else key)[0]
        if len(layers_of(network.module(self.slow))) < 2:
            raise IncompatibleError("gain modulation needs a network with at least two layers: one, and a readout")

    @property
    def slow_in_network(self) -> bool:
        return True

    def for_trial(self, key: Key[Array, ""]) -> "GainModulation":
        return eqx.tree_at(lambda learner: learner.slow, self, self.network.init(key)[0])

    def begin(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        del key
        *body, head = layers_of(self.network.module(jax.lax.stop_gradient(self.slow)))
        units = [layer.weight[:, *(0,) * (layer.weight.ndim - 1)] for layer in body]
        ones, zeros = ([fill(unit) for unit in units] for fill in (jnp.ones_like, jnp.zeros_like))
        return Modulation(ones, zeros, eqx.filter(head, eqx.is_inexact_array)), ()

    def charge(self, fast: Modulation) -> Float[Array, ""]:
        del fast
        return jnp.zeros(())

    def outputs(
        self, fast: Modulation, buffers: PyTree, x: Float[Array, "batch ..."], training: bool
    ) -> tuple[Float[Array, "batch ..."], PyTree]:
        del training
        model = self.network.module(self.slow)
        *body, head = layers_of(model)
        modulated = [Modulated(*parts) for parts in zip(body, fast.gains, fast.shifts, strict=True)]
        model = eqx.tree_at(layers_of, model, [*modulated, eqx.combine(fast.head, head)])
        return jax.vmap(model)(x), buffers


def layers_of(model: PyTree) -> list[Any]:
    """Linear and convolutional layers of an Equinox module, in the order of its fields."""
    kinds = (eqx.nn.Linear, eqx.nn.Conv)
    return [
        node for node in jax.tree.leaves(model, is_leaf=lambda node: isinstance(node, kinds)) if isinstance(node, kinds)
    ]
