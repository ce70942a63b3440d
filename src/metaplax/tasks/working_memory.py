"""Tasks for recurrent networks in which an answer is asked for at the end of a trial, whose type is one of four."""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import Array, Float, Int, Key

from metaplax.data.checks import check_sizes
from metaplax.tasks.episode import AbstractTask, Episode, Examples

TYPES = 4
"""Types of trials, which come in turn."""


class Perturbations(eqx.Module):
    """Random kicks of single neurons, and a random state at the start of every trial.

    Args:
        neurons: how many there are.
        amplitude: a kick is uniform up to this size of either sign; in input current, so that it is divided by ``tau``.
        probability: of a kick of a neuron in one step.
        after: first step, from 0, with kicks.
        start: potentials start uniformly up to this size, of either sign: the input of the first step.
        tau: time constant of the neurons in steps.

    Raises:
        ValueError: there are no neurons, or the probability is none.

    Source: Miconi (2017), code.
    """

    neurons: int = eqx.field(static=True, default=200)
    amplitude: float = 16.0
    probability: float = 0.003
    after: int = eqx.field(static=True, default=4)
    start: float = 0.1
    tau: float = 30.0

    def __check_init__(self):
        check_sizes(neurons=self.neurons)
        if not 0 <= self.probability <= 1:
            raise ValueError(f"the probability of a perturbation is from 0 to 1, not {self.probability}")

    def draw(self, key: Key[Array, ""], steps: int) -> Float[Array, "steps neurons"]:
        """The input current of one trial that comes through no synapse."""
        start_key, when_key, key = jax.random.split(key, 3)
        shape = (steps, self.neurons)
        kicks = jax.random.bernoulli(when_key, self.probability, shape)
        current = jnp.where(kicks, jax.random.uniform(key, shape, minval=-self.amplitude, maxval=self.amplitude), 0.0)
        current = jnp.where(jnp.arange(steps)[:, None] < self.after, 0.0, current)
        first = jax.random.uniform(start_key, (self.neurons,), minval=-self.start, maxval=self.start)
        return current.at[0].set(self.tau * first)


class AbstractTrials(AbstractTask):
    """Trials of four types in turn, whose target is the type; ``levels`` says what output each asks for.

    Inputs have shape ``(examples, steps, channels + neurons)``: what all neurons see, then the perturbations. The query
    set has ``queries`` trials of every type.
    """

    levels: ClassVar[tuple[float, ...]]
    channels: ClassVar[int] = 2
    examples: AbstractVar[int]
    queries: AbstractVar[int]
    steps: AbstractVar[int]
    perturbations: AbstractVar[Perturbations]

    @abstractmethod
    def seen(self, key: Key[Array, ""], kind: Int[Array, ""]) -> Float[Array, "steps channels"]:
        """What all neurons see in a trial of this type."""

    def trial(self, key: Key[Array, ""], kind: Int[Array, ""]) -> Examples:
        """One trial of this type, 0 to 3."""
        seen_key, key = jax.random.split(key)
        x = jnp.concatenate([self.seen(seen_key, kind), self.perturbations.draw(key, self.steps)], axis=1)
        return Examples(x, jnp.asarray(kind, jnp.int32))

    def some(self, key: Key[Array, ""], count: int) -> Examples:
        """So many trials, their types in turn."""
        return jax.vmap(self.trial)(jax.random.split(key, count), jnp.arange(count, dtype=jnp.int32) % TYPES)

    def sample(self, key: Key[Array, ""]) -> Episode:
        support_key, query_key = jax.random.split(key)
        return Episode(self.some(support_key, self.examples), self.some(query_key, TYPES * self.queries))


class DelayedNonMatch(AbstractTrials):
    """Are two stimuli, with a delay between them, different? Types are AA, AB, BA and BB.

    Args:
        examples: trials to learn from in an episode, one weight change each.
        queries: trials of every type to be scored on.
        steps: of a trial.
        onset: step, from 0, at which the first stimulus begins.
        duration: of a stimulus in steps.
        gaps: shortest and longest delay between the stimuli in steps, between which it is uniform.
        perturbations: of the neurons.

    Raises:
        ValueError: a number is too small, or the second stimulus does not fit into a trial.

    Source: Miconi (2017), code; other delays as in its further experiments.
    """

    levels = (-0.98, 0.98, 0.98, -0.98)
    examples: int = eqx.field(static=True, default=100)
    queries: int = eqx.field(static=True, default=1)
    steps: int = eqx.field(static=True, default=1000)
    onset: int = eqx.field(static=True, default=1)
    duration: int = eqx.field(static=True, default=200)
    gaps: tuple[int, int] = eqx.field(static=True, default=(199, 199))
    perturbations: Perturbations = Perturbations()

    def __check_init__(self):
        check_sizes(examples=self.examples, queries=self.queries, duration=self.duration, steps=self.steps)
        check_sizes(at_least=0, onset=self.onset, gaps=min(self.gaps))
        if self.gaps[0] > self.gaps[1] or self.onset + 2 * self.duration + self.gaps[1] > self.steps:
            raise ValueError(
                f"two stimuli of {self.duration} steps and a delay of {self.gaps[0]} to {self.gaps[1]} do not fit into"
                f" {self.steps} steps from step {self.onset} on"
            )

    def seen(self, key: Key[Array, ""], kind: Int[Array, ""]) -> Float[Array, "steps channels"]:
        time = jnp.arange(self.steps)
        gap = jax.random.randint(key, (), self.gaps[0], self.gaps[1] + 1)
        onsets = self.onset, self.onset + self.duration + gap
        shown = [((time >= begin) & (time < begin + self.duration)).astype(float) for begin in onsets]
        stimuli = kind // 2, kind % 2
        parts = [jnp.outer(on, jax.nn.one_hot(which, 2)) for on, which in zip(shown, stimuli, strict=True)]
        return parts[0] + parts[1]


class SelectiveIntegration(AbstractTrials):
    """Is the mean of the noisy input that the context points to positive? The other input is to be ignored.

    Types are: attend to the first or the second input, which is positive; the same, which is negative. The mean of the
    other input has a random sign.

    Args:
        examples: trials to learn from in an episode, one weight change each.
        queries: trials of every type to be scored on.
        steps: of a trial.
        duration: of the inputs in steps, from step 1 on; the context lasts for the whole trial.
        size: factor of all of the input.
        mean: size of the mean, in standard deviations of the noise.
        perturbations: of the neurons.

    Raises:
        ValueError: a number is too small, or the inputs last longer than a trial.

    Source: Miconi (2017), code; the task is that of Mante et al. (2013).
    """

    levels = (1.0, 1.0, -1.0, -1.0)
    channels: ClassVar[int] = 4
    examples: int = eqx.field(static=True, default=100)
    queries: int = eqx.field(static=True, default=1)
    steps: int = eqx.field(static=True, default=700)
    duration: int = eqx.field(static=True, default=500)
    size: float = 0.5
    mean: float = 0.5
    perturbations: Perturbations = Perturbations(amplitude=30.0)

    def __check_init__(self):
        check_sizes(examples=self.examples, queries=self.queries, duration=self.duration, steps=self.steps)
        if self.duration >= self.steps:
            raise ValueError(f"inputs of {self.duration} steps do not fit into {self.steps} steps from step 1 on")

    def seen(self, key: Key[Array, ""], kind: Int[Array, ""]) -> Float[Array, "steps channels"]:
        noise_key, key = jax.random.split(key)
        attended, sign = kind % 2, jnp.where(kind < 2, 1.0, -1.0)
        signs = jnp.full(2, jax.random.rademacher(key, (), float)).at[attended].set(sign)
        inputs = self.size * (jax.random.normal(noise_key, (self.steps, 2)) + self.mean * signs[None])
        time = jnp.arange(self.steps)[:, None]
        inputs = jnp.where((time >= 1) & (time <= self.duration), inputs, 0.0)
        context = jnp.broadcast_to(jax.nn.one_hot(attended, 2), (self.steps, 2))
        return jnp.concatenate([inputs, context], axis=1)
