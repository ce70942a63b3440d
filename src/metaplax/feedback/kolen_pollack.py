"""Kolen-Pollack feedback: the feedback weights learn by the same rule as the forward weights."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from metaplax.feedback.base import AbstractFeedback, Errors, LayerChanges
from metaplax.feedback.random_fixed import RandomFixed
from metaplax.networks import MLP, Activity, Weights
from metaplax.plasticity import Decay


class KolenPollack(AbstractFeedback):
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

    def init(self, key: Key[Array, ""], network: MLP) -> Weights:
        return RandomFixed().init(key, network)

    def errors(
        self, state: Weights, network: MLP, weights: Weights, activity: Activity, output_error: Float[Array, " n_L"]
    ) -> Errors:
        return RandomFixed().errors(state, network, weights, activity, output_error)

    def learn(self, state: Weights, changes: LayerChanges) -> tuple[LayerChanges, LayerChanges]:
        decayed = tuple(
            (*layer, Decay(jnp.full((), self.decay, b.dtype))) for layer, b in zip(changes, state, strict=True)
        )
        return decayed, decayed
