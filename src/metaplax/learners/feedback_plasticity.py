"""Online learning with learned feedback straight from the output and Oja's rule (Lindsey & Litwin-Kumar, 2020)."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from metaplax.feedback import LearnedPath
from metaplax.learners.base import IncompatibleError, Metrics
from metaplax.learners.streams import check_stream, seen_at_once
from metaplax.learners.structured import AbstractStructuredLearner
from metaplax.networks import Affine, FrontedMLP, FrontedWeights
from metaplax.plasticity import AbstractCoefficients, AbstractUpdate, BatchOuter, Changes, Decay, shared
from metaplax.plasticity.coefficients import Sharing
from metaplax.tasks import Episode, Examples

Signal = Literal["target", "error"]
Plasticity = Literal["oja", "hebb"]
OutputPath = Literal["drawn", "identity", "none"]
Weights = tuple[Float[Array, "_ _"], ...]

NOTHING = 1e-12
"""Forgotten fraction of a weight that is too small to be divided by."""


class OjaState(eqx.Module):
    """What an episode is lived through with.

    Attributes:
        weights: of the plastic layers.
        largest: for every neuron of each layer, the largest plasticity of its synapses; does not change.
    """

    weights: Weights
    largest: tuple[Float[Array, " _"], ...]


class FeedbackPlasticity(AbstractStructuredLearner):
    """A network that learns a stream online: the output tells every layer what to be active for, by learned weights.

    For every minibatch ``n = 1..S``: a forward sweep gives activities ``x_l``; a signal at the output ``s`` (the
    target, or target minus output) reaches every layer by a path ``f_l(s)`` of its own; with a strength ``beta_l`` it
    takes the place of the layer's activity, ``x~_l = beta_l f_l + (1 - beta_l) x_l``; then all layers change at once,

    ``dW_l = m_l alpha_l * (sum_n x~_l x_{l-1}^T - diag(sum_n x~_l^2) W_l)``        (Oja; Hebb without the second term).

    Biases, and the layers in front, do not change within an episode. Where it starts (all weights and biases), the
    paths, the plasticity ``alpha`` and the strengths are meta-learned.

    A single step of Oja's rule forgets the fraction ``m alpha sum x~^2`` of a weight. Above 2 it overshoots further
    with every step, and a few such steps are enough for numbers without end. So where the fraction would be larger
    than ``bound`` for a synapse of a neuron, the plasticity of that neuron is as small in that step as makes it equal;
    anywhere below, the equations are the published ones.

    Args:
        network: front layers, which are frozen within an episode, and plastic ones behind them.
        key: of the starting weights; every trial of meta-training draws its own.
        signal: what is fed back: the target (of classes, one-hot) or target minus output.
        rule: ``"oja"`` or ``"hebb"``.
        sharing: how many synapses share a plasticity.
        plasticity: where every plasticity starts.
        strength: where every feedback strength starts.
        output_path: whether the output layer, too, has a path and a strength: one that is drawn like the others, one
            that starts as the identity, or none, where the signal itself takes the place of its activity.
        hidden_paths: whether hidden layers have a path; if not, what they learn from is their own activity.
        path_gain: factor of what paths start with. The smaller what arrives, the less Oja's rule forgets for the same
            amount of learning.
        linear_paths: leave the ReLUs of the paths out.
        path_widths: of hidden layers of every path.
        hidden_multiplier: factor ``m`` of the plasticity of hidden layers.
        bound: largest fraction of a weight that one step may forget; ``None`` for any, as published.
        saturation: largest size of an entry of the signal; ``None`` for any, as published.

    Raises:
        ValueError: the bound is not positive, or a path with hidden layers is to start as the identity.

    Source: Lindsey & Litwin-Kumar (2020), section 3, and code.
    """

    network: FrontedMLP
    start: FrontedWeights
    feedback: tuple[LearnedPath | None, ...]
    plasticity: AbstractCoefficients
    strength: Float[Array, " layers"]
    signal: Signal
    rule: Plasticity
    hidden_multiplier: float
    bound: float | None
    saturation: float | None

    def __init__(
        self,
        network: FrontedMLP,
        key: Key[Array, ""],
        *,
        signal: Signal = "target",
        rule: Plasticity = "oja",
        sharing: Sharing = "synapse",
        plasticity: float = 0.0,
        strength: float = 0.5,
        output_path: OutputPath = "none",
        hidden_paths: bool = True,
        path_gain: float = 1.0,
        linear_paths: bool = False,
        path_widths: tuple[int, ...] = (),
        hidden_multiplier: float = 1.0,
        bound: float | None = 1.0,
        saturation: float | None = None,
    ):
        if bound is not None and not bound > 0:
            raise ValueError(f"the fraction of a weight that a step may forget must be positive, not {bound}")
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
        self.strength = jnp.full(depth, strength, jnp.result_type(float))
        self.signal, self.rule, self.hidden_multiplier = signal, rule, hidden_multiplier
        self.bound, self.saturation = bound, saturation

    def for_trial(self, key: Key[Array, ""]) -> "FeedbackPlasticity":
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

    def prepare(self, support: Examples) -> Examples:
        return Examples(seen_at_once(self.network.front, self.start.front, support.x), support.y)

    def propose(self, state: OjaState, example: Examples, key: Key[Array, ""]) -> OjaState:
        del key
        activity = self.network.activity(self.layers(state), example.x)
        signal = self.fed_back(activity[-1], example.y)
        changes = []
        for number, largest in enumerate(state.largest, start=1):
            taught = self.taught(number, activity[number], signal)
            changes.append(self._changes(number, taught, activity[number - 1], largest))
        return OjaState(tuple(changes), ((),) * len(changes))

    def layers(self, state: OjaState) -> tuple[Affine, ...]:
        """Plastic weights with their biases."""
        return tuple(Affine(w, layer.bias) for w, layer in zip(state.weights, self.start.layers, strict=True))

    def fed_back(self, output: Float[Array, "batch outputs"], target: Array) -> Float[Array, "batch outputs"]:
        """The signal at the output."""
        readout = self.network.readout
        if self.signal == "target":
            return jax.vmap(lambda y: readout.wanted(y, self.network.outputs))(target)
        error = jax.vmap(lambda out, y: -readout.error(readout(out), y))(output, target)
        # As published, what is fed back of classes is a gradient that counts as given.
        classes = jnp.issubdtype(target.dtype, jnp.integer)
        signal = jax.lax.stop_gradient(error) / len(error) if classes else error
        return signal if self.saturation is None else jnp.clip(signal, -self.saturation, self.saturation)

    def taught(
        self, number: int, activity: Float[Array, "batch post"], signal: Float[Array, "batch outputs"]
    ) -> Float[Array, "batch post"]:
        """The activity that layer ``number`` learns from, ``x~``."""
        path = self.feedback[number - 1]
        if path is None:
            return signal if number == len(self.feedback) else activity
        strength = self.strength[number - 1]
        return strength * path(signal) + (1 - strength) * activity

    def _changes(
        self,
        number: int,
        taught: Float[Array, "batch post"],
        pre: Float[Array, "batch pre"],
        largest: Float[Array, " post"],
    ) -> Changes:
        squares = jnp.sum(taught**2, axis=0)
        multiplier = self.hidden_multiplier if number < len(self.feedback) else 1.0
        factor = jnp.full_like(squares, multiplier)
        if self.bound is not None:
            forgotten = jnp.maximum(multiplier * largest * squares, NOTHING)
            factor = factor * jnp.minimum(1.0, self.bound / forgotten)
        updates: list[AbstractUpdate] = [BatchOuter(taught, pre)]
        if self.rule == "oja":
            updates.append(Decay(squares))
        plasticity = self.plasticity.at(number, 0)
        # The plasticity goes first, as it is, so that an estimator recognises it and need not keep it at every step.
        return tuple(update.scaled(plasticity).scaled(factor) for update in updates)

    def evaluate(self, state: OjaState, query: Examples) -> tuple[Float[Array, ""], Metrics]:
        outputs = self.network(FrontedWeights(self.start.front, self.layers(state)), query.x)
        return self.network.readout.loss(outputs, query.y), self.network.readout.metrics(outputs, query.y)

    def scalars(self) -> Metrics:
        strengths = {f"strength{number}": value for number, value in enumerate(self.strength, start=1)}
        return {**strengths, **{f"plasticity{name}": value for name, value in self.plasticity.scalars(0).items()}}

    def check(self, episode: Episode, classes: int | None = None) -> None:
        check_stream(self.network, episode, classes)
        if not self.plasticity.fits(1, self.network.all_sizes):
            raise IncompatibleError(f"the plasticity does not fit a network of sizes {self.network.all_sizes}")
