"""A recurrent rate network in which one neuron is the output: its answer is the activity of that neuron."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from metaplax.networks.activations import AbstractActivation, Tanh
from metaplax.networks.neurons import Instant, Leaky
from metaplax.networks.populations import AbstractPlasticNetwork, Connection, Population, Weights
from metaplax.networks.readouts import AbstractReadout, TargetLevels
from metaplax.networks.wiring import Full, Perturbed

TANH = Tanh()
LEVELS = TargetLevels()
INPUT, RECURRENT, OUTPUT = range(3)
"""Numbers of the connections."""


class RateNetwork(AbstractPlasticNetwork):
    """Leaky rate neurons that all reach each other; the output is the activity of the first one.

    ``x <- x + (-x + J r + W_in u + p) / tau`` and ``r = sigma(x)``, where ``r`` on the right is that of the last step.
    Inputs are ``(u, p)``: what all neurons see, then a perturbation of each. The connections are ``W_in``, ``J`` and
    the selection of the output, which are all drawn by ``init``; which of them are plastic is said by the rule, see
    ``only_recurrent``. The output neuron has no direct input: its row of ``W_in`` is zero.

    Args:
        inputs: number of inputs that all neurons see.
        neurons: how many.
        tau: time constant in steps.
        gain: standard deviation of a weight of ``J``, times the root of the number of neurons.
        held: neurons whose potential is a constant, see ``Leaky``: biases.
        activation: the nonlinearity.
        readout: loss of the output.

    Raises:
        ValueError: there is no input or neuron, or neurons are held that do not exist.

    Source: Miconi (2017).
    """

    inputs_seen: int = eqx.field(static=True)
    neurons: int = eqx.field(static=True)
    gain: float = eqx.field(static=True)
    dynamics: Leaky
    readout: AbstractReadout

    def __init__(
        self,
        inputs: int,
        neurons: int = 200,
        *,
        tau: float = 30.0,
        gain: float = 1.5,
        held: tuple[tuple[int, float], ...] = (),
        activation: AbstractActivation = TANH,
        readout: AbstractReadout = LEVELS,
    ):
        if min(inputs, neurons) < 1:
            raise ValueError(f"a network needs at least 1 input and 1 neuron, not {inputs} and {neurons}")
        if any(number >= neurons for number, _ in held):
            raise ValueError(f"only neurons 0 to {neurons - 1} can be held, not {max(held)[0]}")
        self.inputs_seen, self.neurons, self.gain, self.readout = inputs, neurons, gain, readout
        self.dynamics = Leaky(activation, tau, held=held)

    @property
    def populations(self) -> tuple[Population, ...]:
        shape = (self.neurons,)
        return (
            Population((self.inputs_seen + self.neurons,), Instant()),
            Population(shape, self.dynamics),
            Population((1,), Instant()),
        )

    @property
    def connections(self) -> tuple[Connection, ...]:
        seen, among = Perturbed(self.inputs_seen, self.neurons), Full(inputs=self.neurons, outputs=self.neurons)
        return (
            Connection(0, 1, seen),
            Connection(1, 1, among, delayed=True),
            Connection(1, 2, Full(inputs=self.neurons, outputs=1)),
        )

    def init(self, key: Key[Array, ""]) -> Weights:
        """Uniform input weights in ``[-1, 1]``, normal recurrent ones, and the selection of the output neuron."""
        input_key, key = jax.random.split(key)
        seen = jax.random.uniform(input_key, self.shapes[INPUT], minval=-1.0, maxval=1.0)
        among = self.gain / self.neurons**0.5 * jax.random.normal(key, self.shapes[RECURRENT])
        return seen.at[0].set(0.0), among, jnp.zeros(self.shapes[OUTPUT]).at[0, 0].set(1.0)

    @staticmethod
    def only_recurrent(terms: int) -> tuple[tuple[bool, ...], ...]:
        """For ``active`` of a rule of so many terms: they act among the neurons, all other weights stay as drawn."""
        return tuple((number == RECURRENT,) * terms for number in (INPUT, RECURRENT, OUTPUT))
