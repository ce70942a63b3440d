"""Networks made of layers, one after the other: dense, convolutional, recurrent or spiking."""

import itertools
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from metaplax.networks.activations import AbstractActivation, Softplus, Tanh
from metaplax.networks.constraints import AbstractConstraint
from metaplax.networks.neurons import AbstractNeurons, Instant, Leak, Leaky, Spiking
from metaplax.networks.populations import AbstractPlasticNetwork, Connection, Population, Weights
from metaplax.networks.readouts import AbstractReadout, SoftmaxCrossEntropy
from metaplax.networks.recurrent_lif import AbstractSurrogate, FastSigmoid
from metaplax.networks.wiring import AbstractWiring, Convolution, Full, LocallyConnected, Shape

SOFTPLUS = Softplus()
"""The activation of a layer that is given none: the output layer then has the readout alone."""
TANH = Tanh()
Drawn = Literal["glorot", "normal"]
FAST_SIGMOID = FastSigmoid()


class Layer(eqx.Module):
    """One population, the synapses that reach it from the layer before, and those among its own neurons.

    Attributes:
        wiring: of the synapses from the layer before.
        neurons: what the neurons do with their input.
        recurrent: of the synapses among the neurons, which carry the activity of the last step of time; ``None`` for
            none.
        constraint: on the weights from the layer before.
        recurrent_constraint: on the weights among the neurons.
        delayed: whether the synapses from the layer before carry the activity of the last step of time, too.
        fast: of further synapses from the layer before, beside the others; ``None`` for none. They start at zero, so
            that a rule can change them while the others stay as they were meta-learned.
        fast_constraint: on the weights of those.
    """

    wiring: AbstractWiring
    neurons: AbstractNeurons
    recurrent: AbstractWiring | None = None
    constraint: AbstractConstraint | None = None
    recurrent_constraint: AbstractConstraint | None = None
    delayed: bool = eqx.field(static=True, default=False)
    fast: AbstractWiring | None = None
    fast_constraint: AbstractConstraint | None = None


def Dense(
    inputs: int | Shape,
    outputs: int,
    activation: AbstractActivation | None = SOFTPLUS,
    *,
    bias: bool = False,
    constraint: AbstractConstraint | None = None,
    fast: bool = False,
) -> Layer:
    """All neurons of the layer before reach every neuron; an image is flattened.

    Args:
        inputs: number of neurons of the layer before, or its shape.
        outputs: number of neurons.
        activation: the nonlinearity; by default softplus, and none in the output layer, which has the readout.
        bias: whether there are biases.
        constraint: on the weights.
        fast: whether they reach every neuron by fast synapses, too, see ``Layer``.
    """
    wiring, beside = Full(inputs=inputs, outputs=outputs, bias=bias), Full(inputs=inputs, outputs=outputs)
    return Layer(wiring, Instant(activation), constraint=constraint, fast=beside if fast else None)


def Conv(
    image: tuple[int, int, int],
    channels: int,
    kernel: int = 3,
    activation: AbstractActivation | None = SOFTPLUS,
    *,
    stride: int = 1,
    bias: bool = False,
    constraint: AbstractConstraint | None = None,
) -> Layer:
    """Feature maps that see patches of an image with shared weights, without padding; see ``Convolution``."""
    wiring = Convolution(image=image, channels=channels, kernel=kernel, stride=stride, bias=bias)
    return Layer(wiring, Instant(activation), constraint=constraint)


def Local(
    image: tuple[int, int, int],
    channels: int,
    kernel: int = 3,
    activation: AbstractActivation | None = SOFTPLUS,
    *,
    stride: int = 1,
    bias: bool = False,
    constraint: AbstractConstraint | None = None,
) -> Layer:
    """Neurons that see patches of an image, each with weights of its own; see ``LocallyConnected``."""
    wiring = LocallyConnected(image=image, channels=channels, kernel=kernel, stride=stride, bias=bias)
    return Layer(wiring, Instant(activation), constraint=constraint)


def Recurrent(
    inputs: int,
    outputs: int,
    activation: AbstractActivation | None = TANH,
    *,
    tau: float = 10.0,
    leak: Leak = "potential",
    bias: bool = False,
    constraint: AbstractConstraint | None = None,
    recurrent_constraint: AbstractConstraint | None = None,
) -> Layer:
    """Leaky rate neurons, each of which reaches all, itself included.

    Args:
        inputs: number of neurons of the layer before.
        outputs: number of neurons.
        activation: the nonlinearity.
        tau: time constant in steps; 1 for no leak.
        leak: what decays, see ``Leaky``.
        bias: whether there are biases.
        constraint: on the weights from the layer before.
        recurrent_constraint: on the weights among the neurons.
    """
    wiring, among = Full(inputs=inputs, outputs=outputs, bias=bias), Full(inputs=outputs, outputs=outputs)
    return Layer(wiring, Leaky(activation, tau, leak), among, constraint, recurrent_constraint)


def LIF(
    inputs: int,
    outputs: int,
    *,
    decay: float = 0.95,
    threshold: float = 0.1,
    adaptation: float = 0.0,
    adaptation_decay: float = 0.995,
    surrogate: AbstractSurrogate = FAST_SIGMOID,
    delayed: bool = False,
    constraint: AbstractConstraint | None = None,
    recurrent_constraint: AbstractConstraint | None = None,
) -> Layer:
    """Spiking neurons, each of which reaches all, itself included; with ``adaptation`` they are ALIF neurons.

    Args:
        inputs: number of neurons of the layer before.
        outputs: number of neurons.
        decay: factor of the voltage in one step.
        threshold: voltage at which a neuron spikes.
        adaptation: increase of the threshold per spike.
        adaptation_decay: factor of the adaptation in one step.
        surrogate: pseudo-derivative of a spike.
        delayed: whether input acts one step of time later, as in ``RecurrentLIF``.
        constraint: on the weights from the layer before.
        recurrent_constraint: on the weights among the neurons.
    """
    neurons = Spiking(decay, threshold, adaptation, adaptation_decay, surrogate)
    wiring, among = Full(inputs=inputs, outputs=outputs), Full(inputs=outputs, outputs=outputs)
    return Layer(wiring, neurons, among, constraint, recurrent_constraint, delayed)


def LeakyReadout(
    inputs: int, outputs: int, *, tau: float = 10.0, leak: Leak = "potential", bias: bool = False
) -> Layer:
    """Outputs that follow their input with a time constant, in steps, and without a nonlinearity; see ``Leaky``."""
    return Layer(Full(inputs=inputs, outputs=outputs, bias=bias), Leaky(None, tau, leak))


class Sequential(AbstractPlasticNetwork):
    """Layers, one after the other; the last one is the output.

    The weights of a layer from the one before come first, then fast ones, then those among its own neurons, if any.

    Args:
        layers: made by ``Dense``, ``Conv``, ``Local``, ``Recurrent``, ``LIF``, ``LeakyReadout``, or ``Layer`` itself.
        readout: nonlinearity and loss of the output layer.
        drawn: distribution of the weights: Glorot uniform, with biases of zero; or normal, of variance one over the
            number of inputs of a neuron, with standard normal biases.

    Raises:
        ValueError: there is no layer, one does not fit the layer before, or the output is not a vector or has a
            nonlinearity of its own.
    """

    layers: tuple[Layer, ...]
    readout: AbstractReadout
    drawn: Drawn = eqx.field(static=True, default="glorot")

    def __init__(self, *layers: Layer, readout: AbstractReadout | None = None, drawn: Drawn = "glorot"):
        if not layers:
            raise ValueError("a network needs at least one layer")
        for number, (before, after) in enumerate(itertools.pairwise(layers), start=2):
            if before.wiring.post != after.wiring.pre:
                raise ValueError(
                    f"layer {number} takes activity of shape {after.wiring.pre}, but the layer before gives"
                    f" {before.wiring.post}"
                )
        if len(layers[-1].wiring.post) != 1:
            raise ValueError(
                f"the output must be a vector, but the last layer gives {layers[-1].wiring.post}: end with Dense"
            )
        *hidden, last = layers
        if isinstance(last.neurons, Instant) and last.neurons.activation is SOFTPLUS:
            last = eqx.tree_at(lambda layer: layer.neurons, last, Instant())
        if getattr(last.neurons, "activation", last.neurons) is not None:
            raise ValueError(
                f"the output layer has a nonlinearity of its own, {last.neurons}: the readout takes its place, so end"
                " with Dense without an activation, or with LeakyReadout"
            )
        for layer in layers:
            if layer.fast is not None and (layer.fast.pre, layer.fast.post) != (layer.wiring.pre, layer.wiring.post):
                raise ValueError("fast synapses join the same neurons as the slow ones beside them")
        self.layers, self.drawn = (*hidden, last), drawn
        self.readout = SoftmaxCrossEntropy() if readout is None else readout

    @property
    def populations(self) -> tuple[Population, ...]:
        later = [Population(layer.wiring.post, layer.neurons) for layer in self.layers]
        # The derivative of the first nonlinearity stands for that of the input, which has none of its own.
        activation = getattr(self.layers[0].neurons, "activation", None)
        return Population(self.layers[0].wiring.pre, Instant(activation)), *later

    @property
    def connections(self) -> tuple[Connection, ...]:
        return tuple(connection for connection, _ in self._pairs())

    @property
    def fast_connections(self) -> tuple[int, ...]:
        """Numbers of the connections by fast synapses."""
        return tuple(number for number, (_, is_fast) in enumerate(self._pairs()) if is_fast)

    def _pairs(self) -> list[tuple[Connection, bool]]:
        """Every connection, and whether it is by fast synapses."""
        found = []
        for number, layer in enumerate(self.layers):
            found.append((Connection(number, number + 1, layer.wiring, layer.delayed, layer.constraint), False))
            if layer.fast is not None:
                beside = Connection(number, number + 1, layer.fast, layer.delayed, layer.fast_constraint)
                found.append((beside, True))
            if layer.recurrent is not None:
                among = Connection(number + 1, number + 1, layer.recurrent, True, layer.recurrent_constraint)
                found.append((among, False))
        return found

    def init(self, key: Key[Array, ""]) -> Weights:
        drawn = super().init(key) if self.drawn == "glorot" else self._normal(key)
        fast = self.fast_connections
        return tuple(jnp.zeros_like(weight) if k in fast else weight for k, weight in enumerate(drawn))

    def _normal(self, key: Key[Array, ""]) -> Weights:
        found = []
        for each, connection in zip(jax.random.split(key, len(self.connections)), self.connections, strict=True):
            weight, wiring = jax.random.normal(each, connection.wiring.shape), connection.wiring
            columns = wiring.shape[1] - wiring.bias
            weight = weight.at[:, :columns].divide(columns**0.5)
            found.append(weight if connection.constraint is None else connection.constraint.start(weight))
        return tuple(found)
