"""Kolen-Pollack feedback: the feedback weights learn by the same rule as the forward weights."""

import jax.numpy as jnp

from metaplax.feedback.base import LayerChanges
from metaplax.feedback.random_fixed import AbstractRandomFeedback
from metaplax.networks import Weights
from metaplax.plasticity import Decay


class KolenPollack(AbstractRandomFeedback):
    """Random feedback that receives every change of the forward weights; both decay.

    Whatever the rule, ``W_l - B_l`` shrinks by the decay at every step, so that the two align.

    Args:
        decay: fraction of both forward and feedback weights that is lost at each step.

    Raises:
        ValueError: ``decay`` is not in ``[0, 1)``.

    Source: Kolen & Pollack (1994); Akrout et al. (2019), Eqs. 16 and 17.
    """

    decay: float = 1e-3

    def __check_init__(self):
        if not 0 <= self.decay < 1:
            raise ValueError(f"the decay of Kolen-Pollack feedback is a fraction in [0, 1), not {self.decay}")

    def learn(self, state: Weights, changes: LayerChanges) -> tuple[LayerChanges, LayerChanges]:
        decayed = tuple(
            (*layer, Decay(jnp.full((), self.decay, b.dtype))) for layer, b in zip(changes, state, strict=True)
        )
        return decayed, decayed
