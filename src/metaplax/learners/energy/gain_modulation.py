"""Slow weights shared by all tasks, fast gains and shifts for each of them: top-down modulation."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.learners.base import IncompatibleError
from metaplax.learners.energy.base import AbstractMinimiser, sum_over
from metaplax.learners.energy.network_learner import AbstractNetworkLearner
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
    """``E`` is the loss of a network in which every unit below the output computes ``act(gain (W x + b) + shift)``.

    Gains, shifts and the last layer are fast and start at ones, zeros and their initial values; all other weights are
    slow, that is, shared by all tasks. The slow weights occur in the network itself, so that the outer loss depends on
    them directly, too.

    Args:
        network: an Equinox network with at least two linear or convolutional layers, listed in the order in which
            they compute.
        readout: loss of both the support and the query set.
        minimiser: how the energy is minimised.
        learn_start: whether the initial values of gains, shifts and the last layer are meta-learned, too. In the
            published code they are not with the contrastive rule, so that all tasks start from one random last layer.
        strength: of the pull of fast parameters to their initial values, ``strength / 2 * |fast - start|^2``. Without
            it estimators that see the energy only, such as the contrastive rule, cannot learn the initial values.
        key: randomness of the weights.

    Raises:
        IncompatibleError: the network has fewer than two such layers.

    Source: Zucchet et al. (2022), section 3.2, and code.
    """

    network: EquinoxNetwork
    readout: AbstractReadout
    minimiser: AbstractMinimiser
    slow: PyTree
    buffers: PyTree
    start: Modulation | None
    strength: float

    def __init__(
        self,
        network: EquinoxNetwork,
        readout: AbstractReadout,
        minimiser: AbstractMinimiser,
        *,
        learn_start: bool = False,
        strength: float = 0.0,
        key: Key[Array, ""] | None = None,
    ):
        self.network = network  # pyright: ignore[reportIncompatibleVariableOverride]
        self.readout, self.minimiser, self.strength = readout, minimiser, strength
        self.slow, self.buffers = network.init(jax.random.key(0) if key is None else key)
        if len(layers_of(network.module(self.slow, self.buffers))) < 2:
            raise IncompatibleError("gain modulation needs a network with at least two layers: one, and a readout")
        self.start = self._unmodulated(self.slow) if learn_start else None

    @property
    def trains_network(self) -> bool:
        return True

    def untrained(self) -> tuple[str, ...]:
        # The last of the slow layers occurs nowhere but as the start of the fast one.
        paths = jax.tree_util.tree_leaves_with_path(self.slow, is_leaf=is_layer)
        last = [jax.tree_util.keystr(path) for path, node in paths if is_layer(node)][-1]
        return (f".slow{last}",)

    def redrawn(self, key: Key[Array, ""]) -> "GainModulation":
        slow, buffers = self.network.init(key)
        start = None if self.start is None else self._unmodulated(slow)
        where = lambda learner: (learner.slow, learner.buffers, learner.start)  # noqa: E731
        return eqx.tree_at(where, self, (slow, buffers, start), is_leaf=lambda node: node is None)

    def begin(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        del key
        return self._origin(), self.buffers

    def regulariser(self, fast: Modulation) -> Float[Array, ""]:
        if not self.strength:
            return jnp.zeros(())
        return 0.5 * self.strength * sum_over(lambda a, b: (a - b) ** 2, fast, self._origin())

    def _origin(self) -> Modulation:
        """Initial values of the fast parameters, to which they are pulled."""
        return self._unmodulated(self.slow) if self.start is None else self.start

    def _unmodulated(self, slow: PyTree) -> Modulation:
        """Gains of one, shifts of zero, and the last layer."""
        *body, head = layers_of(self.network.module(slow, self.buffers))
        units = [layer.weight[:, *(0,) * (layer.weight.ndim - 1)] for layer in body]
        ones, zeros = ([fill(unit) for unit in units] for fill in (jnp.ones_like, jnp.zeros_like))
        return Modulation(ones, zeros, eqx.filter(head, eqx.is_inexact_array))

    def outputs(
        self, fast: Modulation, buffers: PyTree, x: Float[Array, "batch ..."], training: bool
    ) -> tuple[Float[Array, "batch ..."], PyTree]:
        del training
        model = self.network.module(self.slow, buffers)
        *body, head = layers_of(model)
        modulated = [Modulated(*parts) for parts in zip(body, fast.gains, fast.shifts, strict=True)]
        model = eqx.tree_at(layers_of, model, [*modulated, eqx.combine(fast.head, head)])
        return jax.vmap(model)(x), buffers


def is_layer(node: Any) -> bool:
    """Whether a node of a module is a linear or convolutional layer."""
    return isinstance(node, (eqx.nn.Linear, eqx.nn.Conv))


def layers_of(model: PyTree) -> list[Any]:
    """Linear and convolutional layers of an Equinox module, in the order of its fields."""
    return [node for node in jax.tree.leaves(model, is_leaf=is_layer) if is_layer(node)]
