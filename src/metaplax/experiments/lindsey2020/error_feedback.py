"""Learning a stream by the error of every neuron, as a pathway carries it back: backprop and its local relatives."""

from typing import Literal

import jax
from jaxtyping import Array, Key

from metaplax.feedback import Direct, RandomFixed, Symmetric
from metaplax.learners import PlasticLearner
from metaplax.learners.feedback_plasticity import last_layers
from metaplax.networks import MLP, Encoded, EncoderMLP, ReLU
from metaplax.plasticity import PseudoGradient, Rule, Sharing, shared

PATHWAYS = {"symmetric": Symmetric, "random": RandomFixed, "direct": Direct}


def ErrorFeedback(
    network: EncoderMLP,
    key: Key[Array, ""],
    *,
    pathway: Literal["symmetric", "random", "direct"],
    rate: float = 0.01,
    sharing: Sharing = "global",
    fresh_start: bool = False,
    plastic_layers: int | None = None,
) -> PlasticLearner:
    """The pseudo-gradient of every minibatch, summed over its examples, in the layers behind the encoder.

    Args:
        network: an encoder, which does not change within an episode, and plastic layers behind it.
        key: randomness of the initial weights.
        pathway: backprop, feedback alignment, or direct feedback alignment; random weights are drawn anew in every
            episode.
        rate: learning rate, or where it starts if it is meta-learned.
        sharing: how many synapses share a rate.
        fresh_start: draw the weights of the plastic layers anew in every episode.
        plastic_layers: how many layers, the last ones, change within an episode; by default all behind the encoder.
    """
    start_key, encoder_key = jax.random.split(key)
    plastic = MLP(network.all_sizes, ReLU(), network.readout, bias=True, drawn="kaiming")
    return PlasticLearner(
        Encoded(network.encoder, plastic, encoder_key),
        Rule(
            (PseudoGradient(),),
            shared([rate], sharing, plastic.shapes),
            last_layers(plastic.depth, plastic_layers),
        ),
        PATHWAYS[pathway](),
        start=None if fresh_start else plastic.init(start_key),
        minibatch=True,
    )
