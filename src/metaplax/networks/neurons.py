"""What the neurons of a population do with their input: at once, through a leak, or by spiking."""

from abc import abstractmethod
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from metaplax.networks.activations import AbstractActivation, Tanh
from metaplax.networks.recurrent_lif import AbstractSurrogate, FastSigmoid, spike

Leak = Literal["potential", "activity", "sum"]


class AbstractNeurons(eqx.Module):
    """One kind of neuron; its parameters are shared by a population.

    ``current`` is the summed input of every neuron, ``potential`` what its nonlinearity is applied to.
    """

    def start(self, shape: tuple[int, ...]) -> PyTree:
        """Memory of a population of this shape before the first step of time; by default neurons have none."""
        return ()

    @abstractmethod
    def __call__(
        self, memory: PyTree, current: Float[Array, "*shape"]
    ) -> tuple[PyTree, Float[Array, "*shape"], Float[Array, "*shape"]]:
        """One step of time.

        Returns:
            the memory after the step, the potential, and the activity.
        """

    @abstractmethod
    def slope(self, potential: Float[Array, "*shape"], activity: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Derivative, or pseudo-derivative, of the activity with respect to the potential."""


class Instant(AbstractNeurons):
    """``y = sigma(z)`` of the summed input ``z``, without memory.

    Args:
        activation: the nonlinearity; ``None`` for the identity.
        offset: a constant part of ``z``, one number per neuron: a bias that no plasticity changes.
    """

    activation: AbstractActivation | None = None
    offset: Float[Array, "..."] | None = None

    def __call__(self, memory, current):
        potential = current if self.offset is None else current + self.offset
        return memory, potential, potential if self.activation is None else self.activation(potential)

    def slope(self, potential, activity):
        return jnp.ones_like(activity) if self.activation is None else self.activation.derivative(activity)


class Leaky(AbstractNeurons):
    """Rate neurons with a time constant, in steps of time.

    ``leak="potential"``: ``u <- u + (I - u) / tau`` and ``y = sigma(u)``, for input ``I`` (Miconi, 2017).
    ``leak="activity"``: ``y <- y + (sigma(I) - y) / tau`` (Murray, 2019, Eq. 1).
    ``leak="sum"``: ``u <- u (1 - 1 / tau) + I`` and ``y = sigma(u)``, as readouts of spiking networks.

    Args:
        activation: the nonlinearity; ``None`` for the identity.
        tau: time constant in steps; 1 for no memory.
        leak: what decays, and how.
        held: neurons whose potential is a constant, whatever their input: numbers of neurons and their potentials.

    Raises:
        ValueError: ``tau`` is below one, or neurons are held that are named twice or whose activity decays.
    """

    activation: AbstractActivation | None = Tanh()
    tau: float = 10.0
    leak: Leak = "potential"
    held: tuple[tuple[int, float], ...] = eqx.field(static=True, default=())

    def __check_init__(self):
        if not self.tau >= 1:
            raise ValueError(f"the time constant of leaky neurons is at least one step, not {self.tau}")
        if self.held and self.leak == "activity":
            raise ValueError(
                "neurons are held at a potential, so their potential must be what decays, not the activity"
            )
        if len(dict(self.held)) < len(self.held) or min(dict(self.held), default=0) < 0:
            raise ValueError(f"neurons that are held are numbered from 0 and named once, not {self.held}")

    def start(self, shape):
        return jnp.zeros(shape)

    def __call__(self, memory, current):
        if self.leak == "activity":
            activity = memory + (self._activation(current) - memory) / self.tau
            return activity, current, activity
        gain = 1.0 if self.leak == "sum" else 1 / self.tau
        potential = self._held((1 - 1 / self.tau) * memory + gain * current)
        return potential, potential, self._activation(potential)

    def slope(self, potential, activity):
        if self.activation is None:
            return self._held(jnp.ones_like(potential), instead=0.0)
        return self._held(self.activation.derivative(self.activation(potential)), instead=0.0)

    def _held(self, values: Float[Array, "*shape"], instead: float | None = None) -> Float[Array, "*shape"]:
        """The values, with those of held neurons in place: their potentials, or another number for all of them."""
        for neuron, potential in self.held:
            values = values.at[neuron].set(potential if instead is None else instead)
        return values

    def _activation(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return z if self.activation is None else self.activation(z)


class Spiking(AbstractNeurons):
    """Leaky integrate-and-fire neurons: with ``adaptation`` their threshold rises with every spike (ALIF).

    ``v <- decay v + I - threshold z``, ``a <- adaptation_decay a + z`` and ``z <- [v > threshold + adaptation a]``.
    The reset is not differentiated, nor is a spike: the surrogate takes the place of its derivative. The potential is
    the distance of the voltage from the threshold. Source: Bellec et al. (2020).

    Args:
        decay: factor of the voltage in one step, ``exp(-dt / tau)``.
        threshold: voltage at which a neuron spikes; a spike lowers the voltage by as much.
        adaptation: increase of the threshold per spike.
        adaptation_decay: factor of the adaptation in one step.
        surrogate: pseudo-derivative of a spike.

    Raises:
        ValueError: a decay is not in [0, 1), the threshold is not positive or adaptation is negative.
    """

    decay: float = 0.95
    threshold: float = 0.1
    adaptation: float = 0.0
    adaptation_decay: float = 0.995
    surrogate: AbstractSurrogate = FastSigmoid()

    def __check_init__(self):
        for name in ("decay", "adaptation_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is a factor in [0, 1), not {getattr(self, name)}")
        if not (self.threshold > 0 and self.adaptation >= 0):
            raise ValueError(
                f"threshold must be positive and adaptation not negative, not {self.threshold}, {self.adaptation}"
            )

    def start(self, shape):
        return (jnp.zeros(shape),) * (3 if self.adaptation else 2)

    def __call__(self, memory, current):
        voltage, spikes, *adapted = memory
        voltage = self.decay * voltage + current - self.threshold * jax.lax.stop_gradient(spikes)
        adapted = tuple(self.adaptation_decay * old + spikes for old in adapted)
        distance = voltage - self.threshold - self.adaptation * sum(adapted, start=jnp.zeros(()))
        spikes = spike(distance, self.surrogate)
        return (voltage, spikes, *adapted), distance, spikes

    def slope(self, potential, activity):
        return self.surrogate(potential)
