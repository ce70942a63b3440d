"""Modulators: signals that are broadcast to all synapses, such as a reward or the size of the error.

Available as ``mp.modulators``. Terms see them as ``signals.modulator``; ``Eligibility`` waits for the first of them.
"""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num

from metaplax.networks import AbstractReadout

__all__ = ["AbstractModulator", "ErrorSize", "RewardPrediction"]

Reward = Callable[[Float[Array, "time outputs"], Num[Array, "..."]], Float[Array, ""]]
"""The reward of one trial, from the logits at every step that is scored (one, without time) and the target."""

Type = Callable[[Num[Array, "..."]], Int[Array, ""]]
"""Which type a trial is of, 0, 1, ..., from its target."""


class AbstractModulator(eqx.Module):
    """Makes modulators of the outputs of one trial, and remembers numbers from trial to trial."""

    def init(self) -> Float[Array, " n"]:
        """What is remembered, at the start; by default nothing."""
        return jnp.zeros(0)

    @abstractmethod
    def __call__(
        self,
        memory: Float[Array, " n"],
        readout: AbstractReadout,
        logits: Float[Array, "time outputs"],
        target: Num[Array, "..."],
    ) -> tuple[Float[Array, " modulators"], Float[Array, " n"]]:
        """The modulators after one trial, and what is remembered then.

        Args:
            memory: what is remembered.
            readout: of the network.
            logits: at every step that is scored.
            target: of the trial, or of every such step.
        """


class ErrorSize(AbstractModulator):
    """The loss of the trial: how wrong the outputs are, without a direction."""

    def __call__(self, memory, readout, logits, target):
        return trial_loss(readout, logits, target)[None], memory


class RewardPrediction(AbstractModulator):
    """Reward minus the reward that is expected, a running mean for every type of trial.

    ``m = R - mean``, then ``mean <- mean + (R - mean) / tau``. With a ``power`` it is ``m = |mean|^power (R - mean)``.

    Args:
        tau: time constant of the mean in trials; 1 for the last reward.
        reward: of a trial; by default minus its loss.
        types: how many types of trials there are.
        type_of: which type a trial is of; needed if there are several.
        power: of the size of the expected reward; with 1, learning slows down as an error that is the reward falls.
        silent: number of trials at the start that only shape the expectation: their modulator is zero.

    Raises:
        ValueError: ``tau`` is below one, a number is negative, or there are several types that cannot be told.

    Source: Miconi (2017), section "Learning rule".
    """

    tau: float = 50.0
    reward: Reward | None = eqx.field(static=True, default=None)
    types: int = eqx.field(static=True, default=1)
    type_of: Type | None = eqx.field(static=True, default=None)
    power: int = eqx.field(static=True, default=0)
    silent: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        if not self.tau >= 1:
            raise ValueError(f"the time constant of an expected reward is at least one trial, not {self.tau}")
        if self.types < 1 or (self.types > 1 and self.type_of is None):
            raise ValueError(f"with {self.types} types of trials, type_of must say which type a trial is of")

        if min(self.power, self.silent) < 0:
            raise ValueError(f"power and silent trials must not be negative, but are {self.power} and {self.silent}")

    def init(self):
        # Where some trials are silent, the last number counts them.
        return jnp.zeros(self.types + (self.silent > 0))

    def __call__(self, memory, readout, logits, target):
        reward = -trial_loss(readout, logits, target) if self.reward is None else self.reward(logits, target)
        which = jnp.int32(0) if self.type_of is None else self.type_of(target)
        expected = memory[which]
        surprise = reward - expected
        memory = memory.at[which].add(surprise / self.tau)
        signal = surprise * jnp.abs(expected) ** self.power if self.power else surprise
        if self.silent:
            signal = jnp.where(memory[-1] < self.silent, 0.0, signal)
            memory = memory.at[-1].add(1.0)
        return signal[None], memory


def trial_loss(
    readout: AbstractReadout, logits: Float[Array, "time outputs"], target: Num[Array, "..."]
) -> Float[Array, ""]:
    """Mean loss of one trial over the steps that are scored.

    Args:
        readout: of the network.
        logits: at those steps.
        target: one for all of them, or one for each.
    """
    return readout.loss(logits, target_per_step(readout, target, *logits.shape))


def target_per_step(
    readout: AbstractReadout, target: Num[Array, "..."], steps: int, outputs: int
) -> Num[Array, "time ..."]:
    """One target for every step of a sequence, whether there is one for each or one for all."""
    if target.ndim > len(readout.target_shape(outputs)):
        return target
    return jnp.broadcast_to(target, (steps, *target.shape))
