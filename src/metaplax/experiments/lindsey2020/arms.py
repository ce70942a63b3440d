"""The arms that are compared: learned feedback with local plasticity, gradients inside, and no meta-learning."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import optax

from metaplax.learners import AbstractStreamLearner, FeedbackPlasticity, OnlineGradient
from metaplax.networks import EncoderMLP
from metaplax.optim import per_field


@dataclass(frozen=True)
class Arm:
    """How one arm learns within an episode, and how that is meta-learned.

    Attributes:
        options: arguments of its learner, ``FeedbackPlasticity`` or ``OnlineGradient``.
        outer_rates: learning rates of Adam by field of the learner; none if nothing is meta-learned.
        plastic: number of layers behind the encoder.
        rates: learning rates among which the best one is chosen for an arm without meta-learning.
    """

    options: Mapping[str, Any]
    outer_rates: Mapping[str, float] = field(default_factory=dict)
    plastic: int = 2
    rates: tuple[float, ...] = ()

    @property
    def is_gradient(self) -> bool:
        """Whether it learns by gradient descent."""
        return "signal" not in self.options

    def learner(self, network: EncoderMLP, seed: int) -> AbstractStreamLearner:
        """The learner before meta-training."""
        kind = OnlineGradient if self.is_gradient else FeedbackPlasticity
        return kind(network, jax.random.key(seed), **self.options)

    def optimizer(self, clip: float) -> optax.GradientTransformation:
        """Adam for every field on its own, each with its gradient clipped to this norm; 0 for no clipping."""

        def adam(rate: float) -> optax.GradientTransformation:
            return optax.chain(optax.clip_by_global_norm(clip), optax.adam(rate)) if clip else optax.adam(rate)

        return per_field({name: adam(rate) for name, rate in self.outer_rates.items()})


LABELS = {
    "flp": "learned feedback, Oja",
    "oja_readout": "Oja, output layer only",
    "oml": "OML",
    "oml_first": "OML, first order",
    "maml": "MAML, all layers",
    "meta_sgd": "learned rate per synapse",
    "readout": "linear readout",
    "bp": "online backprop",
    "fa": "online feedback alignment",
}
"""Labels of the arms of all experiments."""
