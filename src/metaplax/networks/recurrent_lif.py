"""A recurrent network of spiking neurons with a leaky readout."""

from math import exp

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from metaplax.networks.surrogates import AbstractSurrogate, FastSigmoid, spike


class SpikingWeights(eqx.Module):
    """The three matrices of a recurrent spiking network, each ``(post, pre)``."""

    input: Float[Array, "hidden inputs"]
    recurrent: Float[Array, "hidden hidden"]
    readout: Float[Array, "outputs hidden"]


class Recording(eqx.Module):
    """Everything that happens in a spiking network; time comes first, and starts with a silent step.

    Attributes:
        voltages: of the membranes, in units in which the resting potential is 0.
        adaptation: what the threshold has risen by, divided by the strength of adaptation.
        spikes: 0 or 1.
        outputs: of the readout.
    """

    voltages: Float[Array, "time batch hidden"]
    adaptation: Float[Array, "time batch hidden"]
    spikes: Float[Array, "time batch hidden"]
    outputs: Float[Array, "time batch outputs"]


class RecurrentLIF(eqx.Module):
    """Leaky integrate-and-fire neurons, all connected to all and to themselves, and a leaky readout without spikes.

    ``v[t+1] = alpha v[t] + W_rec z[t] + W_in x[t] - threshold z[t]``,
    ``a[t+1] = rho a[t] + z[t]``, ``z[t+1] = [v[t+1] > threshold + adaptation a[t+1]]`` and
    ``o[t+1] = kappa o[t] + W_out z[t+1]``, from zero, with ``alpha``, ``rho`` and ``kappa`` equal to
    ``exp(-dt / tau)``. The reset is by subtraction and not differentiated. As the state at the first step is given, the
    last frame of the input changes nothing any more. With ``adaptation = 0`` neurons do not adapt; otherwise they are
    ALIF neurons.

    Weights are normal with standard deviation ``gain * sqrt(2 / fan_in)``.

    Args:
        inputs: input neurons.
        hidden: spiking neurons.
        outputs: readouts.
        tau_membrane: in milliseconds.
        tau_readout: in milliseconds.
        dt: length of a step in milliseconds.
        threshold: above the resting potential; also what a spike lowers the voltage by.
        adaptation: how much one spike raises the threshold.
        tau_adaptation: in milliseconds.
        surrogate: what stands in for the derivative of a spike in automatic differentiation.
        gains: of input, recurrent and readout weights at the start.

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
        """What is left of a voltage after one step."""
        return exp(-self.dt / self.tau_membrane)

    @property
    def kappa(self) -> float:
        """What is left of an output after one step."""
        return exp(-self.dt / self.tau_readout)

    @property
    def rho(self) -> float:
        """What is left of the adaptation after one step."""
        return exp(-self.dt / self.tau_adaptation)

    def init(self, key: Key[Array, ""]) -> SpikingWeights:
        """Weights."""
        shapes = ((self.hidden, self.inputs), (self.hidden, self.hidden), (self.outputs, self.hidden))
        matrices = [
            gain * (2 / shape[1]) ** 0.5 * jax.random.normal(k, shape)
            for k, shape, gain in zip(jax.random.split(key, 3), shapes, self.gains, strict=True)
        ]
        return SpikingWeights(*matrices)

    def distance(self, voltages: Float[Array, "*shape"], adaptation: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """How far voltages are above threshold."""
        return voltages - self.threshold - self.adaptation * adaptation

    def advance(
        self,
        state: tuple[Float[Array, "batch hidden"], Float[Array, "batch hidden"], Float[Array, "batch hidden"]],
        current: Float[Array, "batch hidden"],
    ) -> tuple[Float[Array, "batch hidden"], Float[Array, "batch hidden"], Float[Array, "batch hidden"]]:
        """Voltages, adaptation and spikes one step later, given the current that flows in."""
        voltages, adaptation, spikes = state
        voltages = self.alpha * voltages + current - self.threshold * jax.lax.stop_gradient(spikes)
        adaptation = self.rho * adaptation + spikes if self.adaptation else adaptation
        return voltages, adaptation, spike(self.distance(voltages, adaptation), self.surrogate)

    def __call__(self, weights: SpikingWeights, x: Float[Array, "time batch inputs"]) -> Recording:
        """What happens when it sees some input, usually spikes."""
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
    """``sum_{s <= t} decay^(t - s) x[s]`` at every step; backwards, the sum is over ``s >= t``.

    One product with a triangular matrix: for the short sequences here many times faster than a loop.
    """
    steps = jnp.arange(len(x))
    lag = steps[:, None] - steps[None]
    weights = jnp.where(lag >= 0, decay ** jnp.maximum(lag, 0), 0).astype(jnp.result_type(x, float))
    return ((weights.T if backwards else weights) @ x.reshape(len(x), -1)).reshape(x.shape)


def delayed(x: Float[Array, "time batch n"]) -> Float[Array, "time batch n"]:
    """One step later, silent at first."""
    return jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]])
