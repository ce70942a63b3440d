"""The learner of Lindsey & Litwin-Kumar (2020): learned feedback straight from the output, and Oja's rule."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from metaplax.feedback.taught_activity import OutputPath, Signal, TaughtActivity
from metaplax.learners.plastic_learner import PlasticLearner
from metaplax.networks import MLP, Encoded, EncoderMLP, ReLU
from metaplax.plasticity import AbstractCoefficients, Hebb, NeuronOja, Rule, StepLimit, Taught, shared
from metaplax.plasticity.coefficients import Sharing

Plasticity = Literal["oja", "hebb"]


def FeedbackPlasticity(
    network: EncoderMLP,
    key: Key[Array, ""],
    *,
    signal: Signal = "target",
    rule: Plasticity = "oja",
    sharing: Sharing = "synapse",
    plasticity: float = 0.0,
    hidden_plasticity: float | None = None,
    mixing: float = 0.5,
    output_path: OutputPath = "none",
    hidden_paths: bool = True,
    path_gain: float = 1.0,
    linear_paths: bool = False,
    path_widths: tuple[int, ...] = (),
    hidden_multiplier: float = 1.0,
    bound: float | None = 0.5,
    response_bound: float | None = None,
    fresh_start: bool = False,
    plastic_layers: int | None = None,
) -> PlasticLearner:
    """A network that learns a stream of minibatches; feedback tells every layer which activity to aim at.

    For every minibatch ``n = 1..S`` a signal at the output reaches every layer by a path of its own and is mixed into
    the layer's activity, ``x~_l = beta_l f_l + (1 - beta_l) x_l``; then all layers change at once,

    ``dW_l = m_l alpha_l * (sum_n x~_l x_{l-1}^T - diag(sum_n x~_l^2) W_l)``        (Oja; Hebb without the second term).

    Biases and the encoder do not change within an episode. All initial weights and biases (``start``, ``network``), the
    paths and the mixing ``beta`` (``feedback``), and the plasticity ``alpha`` (``rule``) are meta-learned.

    Args:
        network: an encoder, which does not change within an episode, and plastic layers behind it.
        key: randomness of the initial weights and feedback paths.
        signal: what is fed back: the target (classes are one-hot), or ``"error"``: target minus output.
        rule: ``"oja"`` or ``"hebb"``.
        sharing: how many synapses share a plasticity.
        plasticity: initial value of every plasticity.
        hidden_plasticity: initial value in hidden layers, if it differs.
        mixing: initial value of every mixing ``beta``.
        output_path: as for ``TaughtActivity``.
        hidden_paths: whether hidden layers have a path; if not, they learn from their own activity.
        path_gain: factor of the initial weights of paths.
        linear_paths: leave the ReLUs of the paths out.
        path_widths: sizes of hidden layers of every path.
        hidden_multiplier: factor ``m`` of the plasticity of hidden layers.
        bound: limit of forgetting in one step, see ``StepLimit``; ``None`` for no limit, as published.
        response_bound: limit of the response to a step, likewise.
        fresh_start: draw the weights of the plastic layers anew in every episode, in place of meta-learning them.
        plastic_layers: how many layers, the last ones, change within an episode; by default all behind the encoder.

    Raises:
        ValueError: a bound is not positive, a path with hidden layers is to start as the identity, or hidden
            layers are to start with another plasticity but share theirs with the last one.

    Source: Lindsey & Litwin-Kumar (2020), section 3, and code.
    """
    start_key, path_key, encoder_key = jax.random.split(key, 3)
    plastic = MLP(network.all_sizes, ReLU(), network.readout, bias="fixed", drawn="kaiming")
    coefficients = shared([plasticity], sharing, plastic.shapes)
    if hidden_plasticity is not None:
        coefficients = _with_hidden(coefficients, hidden_plasticity)
    return PlasticLearner(
        Encoded(network.encoder, plastic, encoder_key),
        Rule(
            (Taught(NeuronOja() if rule == "oja" else Hebb()),),
            coefficients,
            last_layers(plastic.depth, plastic_layers),
            gains=(*[hidden_multiplier] * (plastic.depth - 1), 1.0),
            limit=None if bound is None and response_bound is None else StepLimit(bound, response_bound),
        ),
        TaughtActivity(
            signal,
            mixing,
            output_path=output_path,
            hidden_paths=hidden_paths,
            gain=path_gain,
            linear=linear_paths,
            widths=path_widths,
        ),
        start=None if fresh_start else plastic.init(start_key),
        minibatch=True,
        key=path_key,
    )


def last_layers(depth: int, plastic: int | None) -> tuple[tuple[bool], ...] | None:
    """Where the one term of a rule acts: in the last layers only, if there are to be fewer than all.

    Raises:
        ValueError: there are not so many layers.
    """
    if plastic is not None and not 1 <= plastic <= depth:
        raise ValueError(f"of {depth} layers 1 to {depth} can be plastic, not {plastic}")
    return None if plastic is None else tuple((layer >= depth - plastic,) for layer in range(depth))


def _with_hidden(coefficients: AbstractCoefficients, value: float) -> AbstractCoefficients:
    """The same, with another value in all layers but the last.

    Raises:
        ValueError: all layers share one.
    """
    if coefficients.sharing == "global":
        raise ValueError("a plasticity that all layers share cannot start elsewhere in hidden layers")
    values = coefficients.values
    if isinstance(values, jax.Array):
        hidden = values.at[:-1].set(value)
    else:
        hidden = (*jax.tree.map(lambda leaf: jnp.full_like(leaf, value), values[:-1]), values[-1])
    return eqx.tree_at(lambda it: it.values, coefficients, hidden)
