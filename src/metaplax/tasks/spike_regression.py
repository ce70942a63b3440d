"""Few-shot regression for spiking networks: inputs are random spike trains, drawn anew for every sample."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import Array, Float, Key

from metaplax.data.checks import check_sizes
from metaplax.tasks.episode import AbstractTask, Episode, Examples


def tuning_curves(value: Float[Array, " n"], neurons: int, width: float) -> Float[Array, "n neurons"]:
    """Gaussian tuning curves of a population whose preferred values are spread evenly over ``[0, 1]``.

    Gives the probability to fire in a time step, which is 1 at a neuron's preferred value.
    """
    preferred = jnp.linspace(0, 1, neurons)
    return jnp.exp(-((preferred[None] - value[:, None]) ** 2) / (2 * width**2))


def bernoulli_spikes(key: Key[Array, ""], rates: Float[Array, "..."]) -> Float[Array, "..."]:
    """Independent spikes (0 or 1) with these probabilities."""
    return jax.random.bernoulli(key, rates).astype(rates.dtype)


class ExampleTaskData(eqx.Module):
    """One task with what is needed to draw its target as a curve, against the input or against time.

    ``support_x_values`` are positions of support examples on the horizontal axis, and ``support_target`` their targets.
    ``x`` are spikes of samples at ``x_values``, or of a single sample if the axis is time.
    """

    support: Examples
    support_x_values: Float[Array, " n"]
    support_target: Float[Array, " n"]
    x: Float[Array, "batch time neurons"]
    x_values: Float[Array, " m"]
    target: Float[Array, " m"]


class AbstractSpikingTask(AbstractTask):
    """Tasks for spiking networks whose targets can be drawn as curves; ``axis`` names the horizontal axis."""

    axis: ClassVar[str]
    neurons: AbstractVar[int]

    @abstractmethod
    def example_task(self, key: Key[Array, ""]) -> ExampleTaskData:
        """Draw one task for a figure."""


class AbstractCurves(AbstractSpikingTask):
    """A curve is drawn for every episode, and support and query samples of it."""

    shots: AbstractVar[int]
    queries: AbstractVar[int]
    steps: AbstractVar[int]
    width: AbstractVar[float]

    def __check_init__(self):
        check_sizes(shots=self.shots, queries=self.queries, neurons=self.neurons)
        check_sizes(at_least=2, steps=self.steps)
        if not self.width > 0:
            raise ValueError(f"width must be positive, not {self.width}")

    @abstractmethod
    def curve(self, key: Key[Array, ""]) -> Any:
        """Draw what a task is about."""

    @abstractmethod
    def examples(self, key: Key[Array, ""], curve: Any, samples: int) -> Examples:
        """Draw some samples of the task with this curve."""

    def sample(self, key: Key[Array, ""]) -> Episode:
        curve_key, *keys = jax.random.split(key, 3)
        curve = self.curve(curve_key)
        return Episode(self.examples(keys[0], curve, self.shots), self.examples(keys[1], curve, self.queries))


class SpikingSinusoids(AbstractCurves):
    """Regression of ``y = amplitude * sin(x + phase)``, where ``x`` is encoded in the spikes of a population.

    ``x`` is uniform in ``[-5, 5]``, amplitudes in ``[0.1, 5]``, phases in ``[0, pi]``. In every time step each neuron
    fires with a probability that depends on ``x`` by a Gaussian tuning curve. Targets have shape ``(batch, 1)``.

    Args:
        shots: samples to learn from.
        queries: samples to be scored on.
        steps: time steps per sample.
        neurons: size of the population.
        width: standard deviation of a tuning curve, as a fraction of the range of ``x``.

    Raises:
        ValueError: a size is too small, or ``width`` not positive.

    Source: Zucchet et al. (2022), section 5.4 and supplement; Finn et al. (2017).
    """

    axis: ClassVar[str] = "input"

    shots: int = eqx.field(static=True, default=10)
    queries: int = eqx.field(static=True, default=10)
    steps: int = eqx.field(static=True, default=20)
    neurons: int = eqx.field(static=True, default=100)
    width: float = eqx.field(static=True, default=0.01414)

    def example_task(self, key: Key[Array, ""]) -> ExampleTaskData:
        curve_key, support_key, spike_key = jax.random.split(key, 3)
        curve, grid = self.curve(curve_key), jnp.linspace(-5.0, 5.0, 101)
        x, support = self._seen(support_key, curve, self.shots)
        return ExampleTaskData(support, x, support.y[:, 0], self.spikes(spike_key, grid), grid, curve(grid))

    def curve(self, key: Key[Array, ""]) -> Callable[[Array], Array]:
        amplitude_key, phase_key = jax.random.split(key)
        amplitude = jax.random.uniform(amplitude_key, (), minval=0.1, maxval=5.0)
        phase = jax.random.uniform(phase_key, (), maxval=jnp.pi)
        return lambda x: amplitude * jnp.sin(x + phase)

    def examples(self, key: Key[Array, ""], curve: Callable[[Array], Array], samples: int) -> Examples:
        return self._seen(key, curve, samples)[1]

    def _seen(
        self, key: Key[Array, ""], curve: Callable[[Array], Array], samples: int
    ) -> tuple[Float[Array, " n"], Examples]:
        """Some values of ``x``, and the examples that encode them."""
        x_key, spike_key = jax.random.split(key)
        x = jax.random.uniform(x_key, (samples,), minval=-5.0, maxval=5.0)
        return x, Examples(self.spikes(spike_key, x), curve(x)[:, None])

    def spikes(self, key: Key[Array, ""], x: Float[Array, " n"]) -> Float[Array, "n steps neurons"]:
        """Spikes of the population for some values of ``x``."""
        rates = tuning_curves((x + 5) / 10, self.neurons, self.width)
        return bernoulli_spikes(key, jnp.broadcast_to(rates[:, None], (len(x), self.steps, self.neurons)))


class SpikingPatterns(AbstractCurves):
    """Pattern generation: the same curve over time is the target of every sample, whose input says what time it is.

    The curve is a sum of three sinusoids with random amplitudes and phases, of one, two and three periods per sample.
    Each input neuron fires around its preferred time; spikes are drawn anew for every sample. Targets have shape
    ``(batch, steps, 1)``.

    Args:
        shots: samples to learn from.
        queries: samples to be scored on.
        steps: time steps per sample.
        neurons: number of input neurons.
        width: standard deviation of a tuning curve, as a fraction of the length of a sample.
        peak: probability per step that a neuron fires at its preferred time.

    Raises:
        ValueError: a size is too small, ``width`` not positive, or ``peak`` not in ``(0, 1]``.

    Source: pattern generation as in Nicola & Clopath (2017) and Bellec et al. (2020), with shorter patterns.
    """

    axis: ClassVar[str] = "step"

    shots: int = eqx.field(static=True, default=5)
    queries: int = eqx.field(static=True, default=5)
    steps: int = eqx.field(static=True, default=50)
    neurons: int = eqx.field(static=True, default=100)
    width: float = eqx.field(static=True, default=0.03)
    peak: float = eqx.field(static=True, default=0.5)

    def __check_init__(self):
        if not 0 < self.peak <= 1:
            raise ValueError(f"peak is a probability above 0, but {self.peak} was given")

    def example_task(self, key: Key[Array, ""]) -> ExampleTaskData:
        curve_key, support_key, spike_key = jax.random.split(key, 3)
        curve, steps = self.curve(curve_key), jnp.arange(self.steps, dtype=float)
        support = self.examples(support_key, curve, self.shots)
        return ExampleTaskData(support, steps[:0], curve[:0], self.spikes(spike_key, 1), steps, curve)

    def examples(self, key: Key[Array, ""], curve: Float[Array, " steps"], samples: int) -> Examples:
        targets = jnp.broadcast_to(curve[None, :, None], (samples, self.steps, 1))
        return Examples(self.spikes(key, samples), targets)

    def curve(self, key: Key[Array, ""]) -> Float[Array, " steps"]:
        amplitude_key, phase_key = jax.random.split(key)
        amplitudes = jax.random.uniform(amplitude_key, (3,), minval=0.1, maxval=1.0)
        phases = jax.random.uniform(phase_key, (3,), maxval=2 * jnp.pi)
        turns = 2 * jnp.pi * jnp.arange(1, 4)[:, None] * jnp.linspace(0, 1, self.steps)[None]
        return jnp.sum(amplitudes[:, None] * jnp.sin(turns + phases[:, None]), axis=0)

    def spikes(self, key: Key[Array, ""], samples: int) -> Float[Array, "samples steps neurons"]:
        """Spikes of the input neurons in some samples."""
        rates = self.peak * tuning_curves(jnp.linspace(0, 1, self.steps), self.neurons, self.width)
        return bernoulli_spikes(key, jnp.broadcast_to(rates[None], (samples, self.steps, self.neurons)))
