"""Feedback through random weights, one layer at a time: they stay fixed, or change along with the forward weights."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from metaplax.feedback.base import AbstractFeedback, LayerChanges, chain, forward, through
from metaplax.networks import AbstractPlasticNetwork, Weights
from metaplax.plasticity import Decay


class AbstractRandomFeedback(AbstractFeedback):
    """``e_{l-1} = B_l^T e_l * sigma'(z_{l-1})``, where ``B_l`` is random at the start of an episode.

    ``B_l`` has the shape and the distribution of ``W_l`` and is drawn independently of it; its biases take no part.
    Source: Lillicrap et al. (2016); Shervani-Tabar & Rosenbaum (2023), Eq. 3.
    """

    def init(self, key: Key[Array, ""], network: AbstractPlasticNetwork) -> Weights:
        return forward(network, network.init(key))

    def errors(self, state, network, weights, activity, output_error, key):
        return chain(network, activity, output_error, through(network, state))


class RandomFixed(AbstractRandomFeedback):
    """Feedback alignment: random feedback weights that do not change during the episode."""


class KolenPollack(AbstractRandomFeedback):
    """Random feedback weights that receive every change of the forward weights; both decay.

    Whatever the rule, ``W_l - B_l`` shrinks by the decay at every step, so that the two align.

    Args:
        decay: fraction by which forward and feedback weights decay at each step.

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


class PlasticFeedback(AbstractRandomFeedback):
    """Random feedback weights that receive a share of each forward change and decay; share and decay are meta-learned.

    ``B_l <- (1 - decay) B_l + share * Delta W_l``. With a share of one it is what Kolen & Pollack (1994) proposed,
    except that the forward weights do not decay; with a share and a decay of zero it is feedback alignment.

    Args:
        share: initial value of the share.
        decay: initial value of the decay per step.
    """

    share: Float[Array, ""]
    decay: Float[Array, ""]

    def __init__(self, share: float = 0.0, decay: float = 0.0):
        self.share, self.decay = jnp.asarray(share, float), jnp.asarray(decay, float)

    def learn(self, state: Weights, changes: LayerChanges) -> tuple[LayerChanges, LayerChanges]:
        shared = tuple((*(change.scaled(self.share) for change in layer), Decay(self.decay)) for layer in changes)
        return shared, changes

    def scalars(self) -> dict[str, Float[Array, ""]]:
        return {"feedback_share": self.share, "feedback_decay": self.decay}
