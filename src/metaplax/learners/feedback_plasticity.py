"""Online learning with learned feedback straight from the output and Oja's rule (Lindsey & Litwin-Kumar, 2020)."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.feedback import LearnedPath
from metaplax.learners.base import IncompatibleError, Metrics
from metaplax.learners.invertible import AbstractInvertibleLearner
from metaplax.learners.stream_learner import AbstractStreamLearner, seen_at_once
from metaplax.networks import Affine, EncoderMLP, EncoderWeights
from metaplax.plasticity import AbstractCoefficients, AbstractUpdate, BatchOuter, Changes, Decay, shared
from metaplax.plasticity.coefficients import Sharing
from metaplax.tasks import Episode, Examples

Signal = Literal["target", "error"]
Plasticity = Literal["oja", "hebb"]
OutputPath = Literal["drawn", "identity", "none"]

TINY = 1e-12
"""Lower limit of what a bound is divided by."""


class OjaState(eqx.Module):
    """What changes within an episode, or the changes of it.

    Attributes:
        weights: of the plastic layers, each of shape ``(post, pre)``.
        largest: for every neuron of each layer, the largest plasticity of its synapses; does not change.
    """

    weights: PyTree
    largest: PyTree


class FeedbackPlasticity(AbstractStreamLearner, AbstractInvertibleLearner):
    """Learns a stream online: learned feedback from the output tells every layer which activity to aim at.

    For every minibatch ``n = 1..S``: a forward sweep gives activities ``x_l``; a signal at the output ``s`` (the
    target, or target minus output) reaches every layer by a feedback path ``f_l(s)`` of its own and is mixed into the
    layer's activity, ``x~_l = beta_l f_l + (1 - beta_l) x_l``; then all layers change at once,

    ``dW_l = m_l alpha_l * (sum_n x~_l x_{l-1}^T - diag(sum_n x~_l^2) W_l)``        (Oja; Hebb without the second term).

    Biases and the encoder do not change within an episode. All initial weights and biases, the feedback paths, the
    plasticity ``alpha`` and the mixing ``beta`` are meta-learned.

    The published plasticity explodes easily. One step of Oja's rule shrinks a weight by the fraction
    ``m alpha sum x~^2``: above 2 it overshoots further with every step. It also changes the response of a neuron to
    its input by ``m alpha sum |x_{l-1}|^2`` times its target activity: in several layers at once, or above 2 where
    errors are fed back, activity grows without end. Where one of the two would exceed ``bound`` or ``response_bound``,
    the plasticity of that neuron is reduced in that step until it is equal; below, the equations are the published
    ones. Both quantities are known to the neuron; the second is that of normalised LMS (Nagumo & Noda, 1967).

    Args:
        network: an encoder, which does not change within an episode, and plastic layers behind it.
        key: randomness of the initial weights and feedback paths.
        signal: the signal that is fed back: the target (classes are one-hot) or target minus output.
        rule: ``"oja"`` or ``"hebb"``.
        sharing: how many synapses share a plasticity.
        plasticity: initial value of every plasticity.
        hidden_plasticity: initial value in hidden layers, if it differs.
        mixing: initial value of every mixing ``beta``.
        output_path: whether the output layer, too, has a path and a mixing: one that is drawn like the others, one
            that starts as the identity, or none, where the signal itself replaces its activity.
        hidden_paths: whether hidden layers have a path; if not, they learn from their own activity.
        path_gain: factor of the initial weights of paths. The smaller the fed-back activity, the less Oja's rule
            forgets for the same amount of learning.
        linear_paths: leave the ReLUs of the paths out.
        path_widths: sizes of hidden layers of every path.
        hidden_multiplier: factor ``m`` of the plasticity of hidden layers.
        bound: largest fraction of a weight that one step may remove; ``None`` for no limit, as published. Below one, a
            step can be undone.
        response_bound: largest change of a neuron's response to its input in one step, in units of its target
            activity; ``None`` for no limit, as published.

    Raises:
        ValueError: a bound is not positive, a path with hidden layers is to start as the identity, or hidden
            layers are to start with another plasticity but share theirs with the last one.

    Source: Lindsey & Litwin-Kumar (2020), section 3, and code.
    """

    network: EncoderMLP
    start: EncoderWeights
    feedback: tuple[LearnedPath | None, ...]
    plasticity: AbstractCoefficients
    mixing: Float[Array, " layers"]
    signal: Signal
    rule: Plasticity
    hidden_multiplier: float
    bound: float | None
    response_bound: float | None

    def __init__(
        self,
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
    ):
        for limit in (bound, response_bound):
            if limit is not None and not limit > 0:
                raise ValueError(f"bound and response_bound must be positive, not {limit}")
        if output_path == "identity" and path_widths:
            raise ValueError("a path with hidden layers cannot start as the identity")
        start_key, path_key = jax.random.split(key)
        self.network, self.start = network, network.init(start_key)
        depth = len(network.sizes)
        kinds = [*["drawn" if hidden_paths else "none"] * (depth - 1), output_path]
        keys = jax.random.split(path_key, depth)
        self.feedback = tuple(
            None
            if kind == "none"
            else LearnedPath(
                k,
                (network.outputs, *path_widths, size),
                gain=path_gain,
                identity=kind == "identity",
                linear=linear_paths,
            )
            for k, size, kind in zip(keys, network.sizes, kinds, strict=True)
        )
        self.plasticity = shared([plasticity], sharing, network.all_sizes)
        if hidden_plasticity is not None:
            self.plasticity = _with_hidden(self.plasticity, hidden_plasticity)
        self.mixing = jnp.full(depth, mixing, jnp.result_type(float))
        self.signal, self.rule, self.hidden_multiplier = signal, rule, hidden_multiplier
        self.bound, self.response_bound = bound, response_bound

    def redrawn(self, key: Key[Array, ""]) -> "FeedbackPlasticity":
        start_key, path_key = jax.random.split(key)
        keys = jax.random.split(path_key, len(self.feedback))
        paths = tuple(path and path.redrawn(k) for path, k in zip(self.feedback, keys, strict=True))
        where = lambda learner: (learner.start, learner.feedback)  # noqa: E731
        return eqx.tree_at(where, self, (self.network.init(start_key), paths))

    def init(self, key: Key[Array, ""]) -> OjaState:
        del key
        weights = tuple(layer.weight for layer in self.start.layers)
        plasticity = [self.plasticity.at(number, 0) for number in range(1, len(weights) + 1)]
        largest = [
            jnp.broadcast_to(jnp.abs(p) if p.ndim < 2 else jnp.max(jnp.abs(p), axis=1), w.shape[:1])
            for p, w in zip(plasticity, weights, strict=True)
        ]
        return OjaState(weights, tuple(largest))

    def precompute(self, support: Examples) -> Examples:
        return Examples(seen_at_once(self.network.encoder, self.start.encoder, support.x), support.y)

    def updates(self, state: OjaState, example: Examples, key: Key[Array, ""]) -> OjaState:
        del key
        activity = self.network.activity(self.layers(state), example.x)
        signal = self.output_signal(activity[-1], example.y)
        changes = []
        for number, largest in enumerate(state.largest, start=1):
            target = self.target_activity(number, activity[number], signal)
            changes.append(self._changes(number, target, activity[number - 1], largest))
        return OjaState(tuple(changes), ((),) * len(changes))

    def layers(self, state: OjaState) -> tuple[Affine, ...]:
        """Plastic weights with their biases."""
        return tuple(Affine(w, layer.bias) for w, layer in zip(state.weights, self.start.layers, strict=True))

    def weights(self, state: OjaState) -> EncoderWeights:
        return EncoderWeights(self.start.encoder, self.layers(state))

    def output_signal(self, output: Float[Array, "batch outputs"], target: Array) -> Float[Array, "batch outputs"]:
        """The signal at the output."""
        readout = self.network.readout
        if self.signal == "target":
            return jax.vmap(lambda y: readout.encode_target(y, self.network.outputs))(target)
        error = jax.vmap(lambda out, y: -readout.error(readout(out), y))(output, target)
        # As published, what is fed back of classes is a gradient that counts as given.
        classes = jnp.issubdtype(target.dtype, jnp.integer)
        return jax.lax.stop_gradient(error) / len(error) if classes else error

    def target_activity(
        self, number: int, activity: Float[Array, "batch post"], signal: Float[Array, "batch outputs"]
    ) -> Float[Array, "batch post"]:
        """The activity that layer ``number`` learns from, ``x~``."""
        path = self.feedback[number - 1]
        if path is None:
            return signal if number == len(self.feedback) else activity
        mixing = self.mixing[number - 1]
        return mixing * path(signal) + (1 - mixing) * activity

    def _changes(
        self,
        number: int,
        target: Float[Array, "batch post"],
        pre: Float[Array, "batch pre"],
        largest: Float[Array, " post"],
    ) -> Changes:
        squares = jnp.sum(target**2, axis=0)
        multiplier = self.hidden_multiplier if number < len(self.feedback) else 1.0
        factor = jnp.full_like(squares, multiplier)
        # What a plasticity of one would forget, and how it would change the response to the same input.
        forgetting = self.bound if self.rule == "oja" else None
        limits = ((forgetting, squares), (self.response_bound, jnp.sum(pre**2)))
        for limit, strongest in limits:
            if limit is not None:
                reached = jnp.maximum(multiplier * largest * strongest, TINY)
                factor = jnp.minimum(factor, multiplier * limit / reached)
        updates: list[AbstractUpdate] = [BatchOuter(target, pre)]
        if self.rule == "oja":
            updates.append(Decay(squares))
        plasticity = self.plasticity.at(number, 0)
        # The plasticity goes first, as it is, so that an estimator recognises it and need not keep it at every step.
        return tuple(update.scaled(plasticity).scaled(factor) for update in updates)

    def scalars(self) -> Metrics:
        mixings = {f"mixing{number}": value for number, value in enumerate(self.mixing, start=1)}
        return {**mixings, **{f"plasticity{name}": value for name, value in self.plasticity.scalars(0).items()}}

    def check(self, episode: Episode, classes: int | None = None) -> None:
        super().check(episode, classes)
        if not self.plasticity.fits(1, self.network.all_sizes):
            raise IncompatibleError(f"the plasticity does not fit a network of sizes {self.network.all_sizes}")


def _with_hidden(plasticity: AbstractCoefficients, value: float) -> AbstractCoefficients:
    """The same, with another value in all layers but the last.

    Raises:
        ValueError: all layers share one.
    """
    if plasticity.sharing == "global":
        raise ValueError("a plasticity that all layers share cannot start elsewhere in hidden layers")
    values = plasticity.values
    if isinstance(values, jax.Array):
        hidden = values.at[:-1].set(value)
    else:
        hidden = (*jax.tree.map(lambda leaf: jnp.full_like(leaf, value), values[:-1]), values[-1])
    return eqx.tree_at(lambda it: it.values, plasticity, hidden)
