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
        label: what to call it.
        options: of its learner, see :class:`FeedbackPlasticity` and :class:`OnlineGradient`.
        outer_rates: learning rates of Adam by field of the learner; none if nothing is meta-learned.
        plastic: layers behind the encoder.
        rates: learning rates that an arm without meta-learning is tuned over.
    """

    label: str
    options: Mapping[str, Any]
    outer_rates: Mapping[str, float] = field(default_factory=dict)
    plastic: int = 2
    rates: tuple[float, ...] = ()

    @property
    def is_gradient(self) -> bool:
        """Whether it is gradient descent that it learns by."""
        return "signal" not in self.options

    def learner(self, network: EncoderMLP, seed: int) -> AbstractStreamLearner:
        """The learner at the start."""
        kind = OnlineGradient if self.is_gradient else FeedbackPlasticity
        return kind(network, jax.random.key(seed), **self.options)

    def optimizer(self, clip: float) -> optax.GradientTransformation:
        """Adam for every field on its own, each with its gradient clipped to a norm; 0 for any."""

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
"""What the arms of every experiment are called."""


def gradient_arms(rate: float, outer_rate: float, rates_rate: float, plastic: int = 2) -> dict[str, Arm]:
    """The arms that are meta-learned, with gradient descent inside.

    Args:
        rate: learning rate of the inner loop.
        outer_rate: of Adam on where it starts.
        rates_rate: of Adam on learned inner rates.
        plastic: layers behind the encoder.
    """
    start = {"start": outer_rate}
    variants: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
        "oml": ({}, start),
        "oml_first": ({"first_order": True}, start),
        "maml": ({"adapted": "all"}, start),
        "meta_sgd": ({"rates": "synapse"}, {**start, "rates": rates_rate}),
        "readout": ({"adapted": "readout"}, start),
    }
    return {
        name: Arm(LABELS[name], {"rate": rate, **options}, outer, plastic)
        for name, (options, outer) in variants.items()
    }


def arms_without_meta_learning(rates: tuple[float, ...], plastic: int = 2) -> dict[str, Arm]:
    """Backprop through all layers, and feedback alignment behind the encoder, along the stream from random weights.

    Args:
        rates: learning rates that are tuned over.
        plastic: layers behind the encoder; as many as there are, and feedback alignment reaches all of them, too.
    """
    return {
        "bp": Arm(LABELS["bp"], {"adapted": "all"}, {}, plastic, rates),
        "fa": Arm(LABELS["fa"], {"alignment": True}, {}, plastic, rates),
    }
