"""A recurrent network of spiking neurons with a leaky readout, and the surrogate derivatives of its spikes."""

from abc import abstractmethod
from functools import partial
from math import exp

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

State = tuple[Float[Array, "batch hidden"], Float[Array, "batch hidden"], Float[Array, "batch hidden"]]
"""Voltages, adaptation and spikes of all neurons at one step."""


class AbstractSurrogate(eqx.Module):
    """A pseudo-derivative of a spike with respect to the distance of the voltage from the threshold.

    To write your own, subclass it with a ``__call__``; fields must be Python numbers.
    """

    @abstractmethod
    def __call__(self, distance: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The pseudo-derivative at this distance from the threshold, which is positive above it."""


class FastSigmoid(AbstractSurrogate):
    """``1 / (slope |distance| + 1)^2``, the derivative of a fast sigmoid (Zenke & Ganguli, 2018)."""

    slope: float = 100.0

    def __call__(self, distance: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return 1 / (self.slope * jnp.abs(distance) + 1) ** 2


class Triangular(AbstractSurrogate):
    """``height * max(0, 1 - |distance| / width)`` (Bellec et al., 2020)."""

    height: float = 0.3
    width: float = 0.1

    def __call__(self, distance: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return self.height * jnp.maximum(0.0, 1 - jnp.abs(distance) / self.width)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def spike(distance: Float[Array, "*shape"], surrogate: AbstractSurrogate) -> Float[Array, "*shape"]:
    """One where the distance from the threshold is positive, zero elsewhere; its derivative is the surrogate."""
    return (distance > 0).astype(distance.dtype)


@spike.defjvp
def _spike_jvp(surrogate, primals, tangents):
    (distance,), (change,) = primals, tangents
    return spike(distance, surrogate), surrogate(distance) * change


class SpikingWeights(eqx.Module):
    """The three matrices of a recurrent spiking network, each of shape ``(post, pre)``."""

    input: Float[Array, "hidden inputs"]
    recurrent: Float[Array, "hidden hidden"]
    readout: Float[Array, "outputs hidden"]


class Recording(eqx.Module):
    """The activity of a spiking network at every step; at the first step everything is zero.

    Attributes:
        voltages: membrane voltages, relative to the resting potential.
        adaptation: increase of the threshold, divided by the ``adaptation`` of the network.
        spikes: 1 where a neuron spikes, 0 elsewhere.
        outputs: outputs of the readout.
    """

    voltages: Float[Array, "time batch hidden"]
    adaptation: Float[Array, "time batch hidden"]
    spikes: Float[Array, "time batch hidden"]
    outputs: Float[Array, "time batch outputs"]


class RecurrentLIF(eqx.Module):
    """Leaky integrate-and-fire neurons, all connected to all and to themselves, and a leaky readout without spikes.

    ``v[t+1] = alpha v[t] + W_rec z[t] + W_in x[t] - threshold z[t]``,
    ``a[t+1] = rho a[t] + z[t]``, ``z[t+1] = [v[t+1] > threshold + adaptation a[t+1]]`` and
    ``o[t+1] = kappa o[t] + W_out z[t+1]``, all zero at the first step, with ``alpha``, ``rho`` and ``kappa`` equal to
    ``exp(-dt / tau)``. The reset subtracts the threshold and is not differentiated. The last frame of the input has no
    effect, because input acts on the next step. With ``adaptation = 0`` the neurons do not adapt; otherwise they are
    adaptive (ALIF) neurons.

    Weights are normal with standard deviation ``gain * sqrt(2 / fan_in)``.

    Args:
        inputs: number of input neurons.
        hidden: number of spiking neurons.
        outputs: number of outputs.
        tau_membrane: time constant of the membrane voltage, in milliseconds.
        tau_readout: time constant of the readout, in milliseconds.
        dt: length of a step, in milliseconds.
        threshold: voltage above the resting potential at which a neuron spikes; a spike lowers the voltage by as much.
        adaptation: increase of the threshold per spike.
        tau_adaptation: time constant of the adaptation, in milliseconds.
        surrogate: function that replaces the derivative of a spike in automatic differentiation.
        gains: gains of the initial input, recurrent and readout weights.

    Raises:
        ValueError: a size, time constant, step or threshold is not positive, or adaptation is negative.

    Source: Zucchet et al. (2022), section 5.4 and supplement; Bellec et al. (2020).
    """

    inputs: int = 100
    hidden: int = 100
    outputs: int = 1
    tau_membrane: float = 30.0
    tau_readout: float = 30.0
    dt: float = 1.0
    threshold: float = 0.1
    adaptation: float = 0.0
    tau_adaptation: float = 200.0
    surrogate: AbstractSurrogate = FastSigmoid()
    gains: tuple[float, float, float] = (0.1, 0.01, 0.1)

    def __check_init__(self):
        positive = ("inputs", "hidden", "outputs", "tau_membrane", "tau_readout", "dt", "threshold", "tau_adaptation")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if not self.adaptation >= 0:
            raise ValueError(f"adaptation must not be negative, but is {self.adaptation}")

    @property
    def alpha(self) -> float:
        """Factor by which voltages decay in one step."""
        return exp(-self.dt / self.tau_membrane)

    @property
    def kappa(self) -> float:
        """Factor by which outputs decay in one step."""
        return exp(-self.dt / self.tau_readout)

    @property
    def rho(self) -> float:
        """Factor by which the adaptation decays in one step."""
        return exp(-self.dt / self.tau_adaptation)

    def init(self, key: Key[Array, ""]) -> SpikingWeights:
        """Draw the weights."""
        shapes = ((self.hidden, self.inputs), (self.hidden, self.hidden), (self.outputs, self.hidden))
        matrices = [
            gain * (2 / shape[1]) ** 0.5 * jax.random.normal(k, shape)
            for k, shape, gain in zip(jax.random.split(key, 3), shapes, self.gains, strict=True)
        ]
        return SpikingWeights(*matrices)

    def distance(self, voltages: Float[Array, "*shape"], adaptation: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Distance of the voltages from the threshold, positive above it."""
        return voltages - self.threshold - self.adaptation * adaptation

    def advance(self, state: State, current: Float[Array, "batch hidden"]) -> State:
        """Voltages, adaptation and spikes one step later, given the input current of every neuron."""
        voltages, adaptation, spikes = state
        voltages = self.alpha * voltages + current - self.threshold * jax.lax.stop_gradient(spikes)
        adaptation = self.rho * adaptation + spikes if self.adaptation else adaptation
        return voltages, adaptation, spike(self.distance(voltages, adaptation), self.surrogate)

    def __call__(self, weights: SpikingWeights, x: Float[Array, "time batch inputs"]) -> Recording:
        """The activity in response to an input, usually of spikes."""
        steps, batch, _ = x.shape
        current = (x[:-1].reshape(-1, self.inputs) @ weights.input.T).reshape(steps - 1, batch, self.hidden)
        # Transposed once, not at every step.
        recurrent = weights.recurrent.T
        start = (jnp.zeros(current.shape[1:], current.dtype),) * 3

        def step(state, current):
            state = self.advance(state, current + state[2] @ recurrent)
            return state, state

        _, states = jax.lax.scan(step, start, current)
        voltages, adaptation, spikes = (
            jnp.concatenate([first[None], later]) for first, later in zip(start, states, strict=True)
        )
        return Recording(voltages, adaptation, spikes, leaky_sum(self.kappa, spikes @ weights.readout.T))


def leaky_sum(
    decay: float, x: Float[Array, "time batch n"], *, backwards: bool = False
) -> Float[Array, "time batch n"]:
    """``sum_{s <= t} decay^(t - s) x[s]`` at every step ``t``; backwards, the sum is over ``s >= t``."""
    # One product with a triangular matrix, which is faster than a loop for short sequences.
    steps = jnp.arange(len(x))
    lag = steps[:, None] - steps[None]
    weights = jnp.where(lag >= 0, decay ** jnp.maximum(lag, 0), 0).astype(jnp.result_type(x, float))
    return ((weights.T if backwards else weights) @ x.reshape(len(x), -1)).reshape(x.shape)


def delayed(x: Float[Array, "time batch n"]) -> Float[Array, "time batch n"]:
    """The same sequence one step later; the first step is zero."""
    return jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]])
