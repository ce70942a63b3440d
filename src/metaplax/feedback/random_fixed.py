"""Feedback alignment: random feedback that is drawn once per episode."""

from jaxtyping import Array, Float, Key

from metaplax.feedback.base import AbstractFeedback, Errors, chain
from metaplax.networks import MLP, Activity, Weights


class AbstractRandomFeedback(AbstractFeedback):
    """``e_{l-1} = B_l^T e_l * sigma'(z_{l-1})``, where ``B_l`` starts at random.

    ``B_l`` has the shape and the distribution of ``W_l`` and is drawn independently of it.
    Source: Lillicrap et al. (2016); Shervani-Tabar & Rosenbaum (2023), Eq. 3.
    """

    def init(self, key: Key[Array, ""], network: MLP) -> Weights:
        return network.init(key)

    def errors(
        self, state: Weights, network: MLP, weights: Weights, activity: Activity, output_error: Float[Array, " n_L"]
    ) -> Errors:
        del weights
        return chain(network, activity, output_error, [lambda e, b=b: e @ b for b in state])


class RandomFixed(AbstractRandomFeedback):
    """Random feedback that stays as it is during the episode."""
