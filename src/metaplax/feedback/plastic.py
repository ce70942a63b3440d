"""Feedback that learns by a rule that is itself meta-learned."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from metaplax.feedback.base import LayerChanges
from metaplax.feedback.random_fixed import AbstractRandomFeedback
from metaplax.networks import Weights
from metaplax.plasticity import Decay


class PlasticFeedback(AbstractRandomFeedback):
    """Random feedback that receives a meta-learned share of every forward change, and decays at a meta-learned rate.

    ``B_l <- (1 - decay) B_l + share * Delta W_l``. With a share of one it is what Kolen & Pollack (1994) proposed,
    but for the decay of the forward weights; with zeros it is feedback alignment.

    Args:
        share: where meta-learning of the share starts.
        decay: where meta-learning of the decay per step starts.
    """

    share: Float[Array, ""]
    decay: Float[Array, ""]

    def __init__(self, share: float = 0.0, decay: float = 0.0):
        self.share, self.decay = jnp.asarray(share, float), jnp.asarray(decay, float)

    def learn(self, state: Weights, changes: LayerChanges) -> tuple[LayerChanges, LayerChanges]:
        del state
        shared = tuple((*(change.scaled(self.share) for change in layer), Decay(self.decay)) for layer in changes)
        return shared, changes

    def scalars(self) -> dict[str, Float[Array, ""]]:
        return {"feedback_share": self.share, "feedback_decay": self.decay}
