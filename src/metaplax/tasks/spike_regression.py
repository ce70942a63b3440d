"""Few-shot regression for networks that see spikes, which are drawn from keys when they are needed."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import Array, Float, Key

from metaplax.tasks.episode import AbstractTask, Episode, Examples


def tuning_curves(value: Float[Array, " n"], neurons: int, width: float) -> Float[Array, "n neurons"]:
    """Firing probabilities per step of a population whose preferred values are spread evenly over ``[0, 1]``."""
    preferred = jnp.linspace(0, 1, neurons)
    return jnp.exp(-((preferred[None] - value[:, None]) ** 2) / (2 * width**2))


def bernoulli_spikes(key: Key[Array, ""], rates: Float[Array, "..."]) -> Float[Array, "..."]:
    """Independent spikes, 0 or 1, with these probabilities."""
    return jax.random.bernoulli(key, rates).astype(rates.dtype)


class Picture(eqx.Module):
    """One task, and where its samples lie on an axis along which its target can be drawn.

    Attributes:
        support: examples to learn from.
        support_places: where they lie.
        support_target: what is wanted there.
        x: spikes of samples all along the axis; a single sample if the axis is time.
        places: where these lie, or steps of time.
        target: what is wanted there.
    """

    support: Examples
    support_places: Float[Array, " n"]
    support_target: Float[Array, " n"]
    x: Float[Array, "batch time neurons"]
    places: Float[Array, " m"]
    target: Float[Array, " m"]


class AbstractSpikingTask(AbstractTask):
    """Tasks for spiking networks that can be drawn; ``axis`` says what is drawn along."""

    axis: ClassVar[str]
    neurons: AbstractVar[int]

    @abstractmethod
    def picture(self, key: Key[Array, ""]) -> Picture:
        """Draw one task as a picture."""


class SpikingSinusoids(AbstractSpikingTask):
    """``y = amplitude * sin(x + phase)`` of a number that a population of neurons encodes in spikes.

    Inputs are uniform in ``[-5, 5]``, amplitudes in ``[0.1, 5]``, phases in ``[0, pi]``. A neuron fires at every step
    with a probability that falls off like a Gaussian with its distance from the number; spikes of a sample are drawn
    once. Targets have shape ``(batch, 1)``.

    Args:
        shots: samples to learn from.
        queries: samples to be scored on.
        steps: of time per sample.
        neurons: of the population.
        width: of tuning curves, as a fraction of the range of inputs.

    Source: Zucchet et al. (2022), section 5.4 and supplement; Finn et al. (2017).
    """

    axis: ClassVar[str] = "input"

    shots: int = eqx.field(static=True, default=10)
    queries: int = eqx.field(static=True, default=10)
    steps: int = eqx.field(static=True, default=20)
    neurons: int = eqx.field(static=True, default=100)
    width: float = eqx.field(static=True, default=0.01414)

    def __check_init__(self):
        _check(self, "shots", "queries", "neurons", "width")

    def sample(self, key: Key[Array, ""]) -> Episode:
        curve_key, *keys = jax.random.split(key, 3)
        curve = self._curve(curve_key)
        return Episode(self._seen(keys[0], curve, self.shots)[1], self._seen(keys[1], curve, self.queries)[1])

    def picture(self, key: Key[Array, ""]) -> Picture:
        curve_key, support_key, spike_key = jax.random.split(key, 3)
        curve, grid = self._curve(curve_key), jnp.linspace(-5.0, 5.0, 101)
        x, support = self._seen(support_key, curve, self.shots)
        return Picture(support, x, support.y[:, 0], self.spikes(spike_key, grid), grid, curve(grid))

    def _curve(self, key: Key[Array, ""]) -> Callable[[Array], Array]:
        amplitude_key, phase_key = jax.random.split(key)
        amplitude = jax.random.uniform(amplitude_key, (), minval=0.1, maxval=5.0)
        phase = jax.random.uniform(phase_key, (), maxval=jnp.pi)
        return lambda x: amplitude * jnp.sin(x + phase)

    def _seen(
        self, key: Key[Array, ""], curve: Callable[[Array], Array], samples: int
    ) -> tuple[Float[Array, " n"], Examples]:
        """Some inputs, and how they are seen."""
        x_key, spike_key = jax.random.split(key)
        x = jax.random.uniform(x_key, (samples,), minval=-5.0, maxval=5.0)
        return x, Examples(self.spikes(spike_key, x), curve(x)[:, None])

    def spikes(self, key: Key[Array, ""], x: Float[Array, " n"]) -> Float[Array, "n steps neurons"]:
        """How the population answers to some numbers."""
        rates = tuning_curves((x + 5) / 10, self.neurons, self.width)
        return bernoulli_spikes(key, jnp.broadcast_to(rates[:, None], (len(x), self.steps, self.neurons)))


class SpikingPatterns(AbstractSpikingTask):
    """A curve over time that is to be drawn whenever a noisy clock runs.

    The curve is a sum of three sinusoids with random amplitudes and phases, of one, two and three periods per sample.
    Neurons of the clock fire around their preferred times; every sample has other spikes. Targets have shape
    ``(batch, steps, 1)``.

    Args:
        shots: runs of the clock to learn from.
        queries: runs to be scored on.
        steps: of time per run.
        neurons: of the clock.
        width: of tuning curves, as a fraction of a run.
        peak: probability per step that a neuron fires at its preferred time.

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
        _check(self, "shots", "queries", "neurons", "width", "peak")
        if self.peak > 1:
            raise ValueError(f"peak is a probability, but {self.peak} was given")

    def sample(self, key: Key[Array, ""]) -> Episode:
        curve_key, *keys = jax.random.split(key, 3)
        curve = self.curve(curve_key)
        return Episode(self._runs(keys[0], curve, self.shots), self._runs(keys[1], curve, self.queries))

    def picture(self, key: Key[Array, ""]) -> Picture:
        curve_key, support_key, spike_key = jax.random.split(key, 3)
        curve, steps = self.curve(curve_key), jnp.arange(self.steps, dtype=float)
        return Picture(
            self._runs(support_key, curve, self.shots), steps[:0], curve[:0], self.spikes(spike_key, 1), steps, curve
        )

    def _runs(self, key: Key[Array, ""], curve: Float[Array, " steps"], samples: int) -> Examples:
        """Some runs of the clock, and the curve for each."""
        targets = jnp.broadcast_to(curve[None, :, None], (samples, self.steps, 1))
        return Examples(self.spikes(key, samples), targets)

    def curve(self, key: Key[Array, ""]) -> Float[Array, " steps"]:
        """A random curve."""
        amplitude_key, phase_key = jax.random.split(key)
        amplitudes = jax.random.uniform(amplitude_key, (3,), minval=0.1, maxval=1.0)
        phases = jax.random.uniform(phase_key, (3,), maxval=2 * jnp.pi)
        turns = 2 * jnp.pi * jnp.arange(1, 4)[:, None] * jnp.linspace(0, 1, self.steps)[None]
        return jnp.sum(amplitudes[:, None] * jnp.sin(turns + phases[:, None]), axis=0)

    def spikes(self, key: Key[Array, ""], samples: int) -> Float[Array, "samples steps neurons"]:
        """Some runs of the clock."""
        rates = self.peak * tuning_curves(jnp.linspace(0, 1, self.steps), self.neurons, self.width)
        return bernoulli_spikes(key, jnp.broadcast_to(rates[None], (samples, self.steps, self.neurons)))


def _check(task: SpikingSinusoids | SpikingPatterns, *positive: str) -> None:
    if task.steps < 2:
        raise ValueError(f"a sample needs at least 2 steps of time, not {task.steps}")
    for name in positive:
        if not getattr(task, name) > 0:
            raise ValueError(f"{name} must be positive, not {getattr(task, name)}")
