"""The gradient that a spiking network descends in its inner loop: e-prop, or backpropagation through time."""

from abc import abstractmethod
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import Array, Float, Num

from metaplax.learners.energy.eprop import eprop_online, eprop_traces, eprop_whole
from metaplax.networks import AbstractSurrogate, Recording, RecurrentLIF, SpikingWeights, Triangular

FEEDBACK = 1
"""Folded into the seed of random feedback weights."""

Target = Float[Array, "batch outputs"] | Float[Array, "batch time outputs"]
"""One target for the mean output over time, or one for every step."""


class AbstractInnerGradient(eqx.Module):
    """The inner loss of a spiking network, and the direction in which it descends.

    Firing rates are regularised in the inner loop, never in the outer loss.
    """

    rate_penalty: AbstractVar[float]
    rate_target: AbstractVar[float]

    @abstractmethod
    def loss(
        self,
        network: RecurrentLIF,
        weights: SpikingWeights,
        x: Num[Array, "batch time inputs"],
        y: Target,
        inner: bool,
    ) -> Float[Array, ""]:
        """The error over a batch, and with ``inner`` the penalty on firing rates."""

    @abstractmethod
    def direction(
        self,
        network: RecurrentLIF,
        weights: SpikingWeights,
        x: Num[Array, "batch time inputs"],
        y: Target,
        inner: bool,
    ) -> SpikingWeights:
        """The direction against which weights move: the gradient of ``loss``, or what a local rule gives for it."""

    def modulated(self, direction: SpikingWeights) -> SpikingWeights:
        """The whole direction, pull included, with a rate for each weight matrix; by default unchanged."""
        return direction

    def __check_init__(self):
        if not self.rate_penalty >= 0:
            raise ValueError(f"rate_penalty must not be negative, but is {self.rate_penalty}")


class BPTT(AbstractInnerGradient):
    """Backpropagation through time of the mean squared error of the mean output.

    The inner loss adds ``rate_penalty`` times the squared deviation of the firing rate, a mean over time and neurons,
    from its target, as a mean over the batch.

    Args:
        rate_penalty: of the regularisation of firing rates.
        rate_target: in spikes per neuron and step.
    """

    rate_penalty: float = 1e-6
    rate_target: float = 0.1

    def loss(self, network, weights, x, y, inner):
        recording = simulate(network, weights, x)
        error = squared_error(recording, y)
        if not inner:
            return error
        rate = jnp.mean(recording.spikes, (0, 2))
        return error + self.rate_penalty * jnp.mean((rate - self.rate_target) ** 2)

    def direction(self, network, weights, x, y, inner):
        return jax.grad(lambda weights: self.loss(network, weights, x, y, inner))(weights)


class EProp(AbstractInnerGradient):
    """e-prop on half the squared error at every step, summed over steps and batch.

    A target for the mean output is one for every step. The inner loss adds
    ``rate_penalty / 2 * time * sum (rate - rate_target)^2``, where rates are means over time, one per neuron and
    sequence.

    Args:
        rate_penalty: of the regularisation of firing rates.
        rate_target: in spikes per neuron and step.
        pseudo: stands in for the derivative of a spike; by default triangular, as wide as the threshold is high.
        form: ``"whole"``, from a recording of the whole sequence by matrix products; or ``"online"``, along with
            time, in memory that does not grow with the number of steps.
        random_feedback: seed of fixed random feedback weights, drawn like the readout weights and the same in all
            trials; ``None`` for the readout weights themselves.
        modulation: of the rates at which input, recurrent and readout weights learn; most optimisers that rescale
            gradients, such as Adam, undo it.
        ahead: pair a voltage with the input of its own step, as in the published code.

    Raises:
        ValueError: the form is unknown, or ``rate_penalty`` is negative.

    Source: Bellec et al. (2020); Zucchet et al. (2022), section 5.4 and supplement.
    """

    rate_penalty: float = 1e-5
    rate_target: float = 0.2
    pseudo: AbstractSurrogate | None = None
    form: Literal["whole", "online"] = "whole"
    random_feedback: int | None = None
    modulation: tuple[float, float, float] = (1.0, 1.0, 0.1)
    ahead: bool = False

    def __check_init__(self):
        if self.form not in ("whole", "online"):
            raise ValueError(f"e-prop has the forms 'whole' and 'online', not {self.form!r}")

    def loss(self, network, weights, x, y, inner):
        recording = simulate(network, weights, x)
        error = 0.5 * jnp.sum((recording.outputs - every_step(y, x, weights)) ** 2)
        if not inner:
            return error
        deviation = jnp.mean(recording.spikes, 0) - self.rate_target
        return error + 0.5 * self.rate_penalty * x.shape[1] * jnp.sum(deviation**2)

    def direction(self, network, weights, x, y, inner):
        strength = self.rate_penalty if inner else 0.0

        def rate_signal(rates):
            return strength * (rates - self.rate_target)

        pseudo = self.pseudo or Triangular(width=network.threshold)
        feedback, target, spikes = self.feedback(network, weights), every_step(y, x, weights), time_first(x, weights)
        if self.form == "online":
            return eprop_online(network, weights, spikes, target, feedback, pseudo, rate_signal, self.ahead)
        recording = network(weights, spikes)
        traces = eprop_traces(network, recording, spikes, pseudo, self.ahead)
        signal = rate_signal(jnp.mean(recording.spikes, 0))
        return eprop_whole(network, traces, recording.outputs - target, feedback, signal)

    def modulated(self, direction):
        fast, recurrent, readout = self.modulation
        return SpikingWeights(fast * direction.input, recurrent * direction.recurrent, readout * direction.readout)

    def feedback(self, network: RecurrentLIF, weights: SpikingWeights) -> Float[Array, "outputs hidden"]:
        """How errors reach the neurons."""
        if self.random_feedback is None:
            return weights.readout
        # Not the key that the weights themselves may have been drawn with.
        return network.init(jax.random.fold_in(jax.random.key(self.random_feedback), FEEDBACK)).readout.astype(
            weights.readout.dtype
        )


def simulate(network: RecurrentLIF, weights: SpikingWeights, x: Num[Array, "batch time inputs"]) -> Recording:
    """The activity of the network while it sees a batch."""
    return network(weights, time_first(x, weights))


def time_first(x: Num[Array, "batch time inputs"], weights: SpikingWeights) -> Float[Array, "time batch inputs"]:
    """Inputs as networks take them, in the precision of the weights."""
    return jnp.swapaxes(x, 0, 1).astype(weights.input.dtype)


def every_step(
    y: Target, x: Num[Array, "batch time inputs"], weights: SpikingWeights
) -> Float[Array, "time batch outputs"]:
    """Targets with time first, repeated if there is one for all steps, in the precision of the weights."""
    y = y.astype(weights.readout.dtype)
    return jnp.swapaxes(y, 0, 1) if y.ndim == 3 else jnp.broadcast_to(y[None], (x.shape[1], *y.shape))


def squared_error(recording: Recording, y: Target) -> Float[Array, ""]:
    """Mean squared error: of the mean output over time, or of every step if there is a target for every step."""
    if y.ndim == 3:
        return jnp.mean((jnp.swapaxes(recording.outputs, 0, 1) - y) ** 2)
    return jnp.mean((jnp.mean(recording.outputs, 0) - y) ** 2)
