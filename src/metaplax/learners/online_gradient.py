"""Online learning by gradient descent from a learned start, and what remains of it without learning the start."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Num, PyTree

from metaplax.learners.base import Metrics
from metaplax.learners.stream_learner import AbstractStreamLearner, seen_at_once
from metaplax.networks import Affine, EncoderMLP, EncoderWeights
from metaplax.networks.layers import kaiming_normal
from metaplax.tasks import Examples

Adapted = Literal["all", "head", "readout"]
RateSharing = Literal["given", "global", "layer", "synapse"]


class GradientState(eqx.Module):
    """What changes within an episode, and fixed random feedback if errors are transported by it."""

    fast: PyTree
    alignment: PyTree


class OnlineGradient(AbstractStreamLearner):
    """A network that learns a stream by one step of gradient descent per minibatch.

    The initial weights are meta-learned: with ``adapted="head"`` this is OML, with ``"all"`` MAML along a stream, and
    with learned rates Meta-SGD. Without meta-learning it is online backprop, or online feedback alignment.

    Args:
        network: an encoder, and fully connected layers behind it.
        key: randomness of the initial weights.
        rate: learning rate, or the initial value of learned ones.
        adapted: the layers that change within an episode: all, those behind the encoder, or the last one only.
        first_order: treat the inner gradient as a constant when the meta-gradient is computed.
        fresh_readout: draw the weights of the output layer anew in every episode.
        rates: whether the rate is given, or learned: one for all, one per array, or one per synapse.
        alignment: errors reach the layers behind the encoder by fixed random weights in place of the transposed ones.

    Raises:
        ValueError: the rate is not positive, or random feedback is asked for where the encoder layers adapt.

    Source: OML: Javed & White (2019); MAML: Finn et al. (2017); Meta-SGD: Li et al. (2017); as run by
    Lindsey & Litwin-Kumar (2020), code.
    """

    network: EncoderMLP
    start: EncoderWeights
    rates: PyTree
    rate: float
    adapted: Adapted = eqx.field(static=True)
    first_order: bool = eqx.field(static=True)
    fresh_readout: bool = eqx.field(static=True)
    alignment: bool = eqx.field(static=True)

    def __init__(
        self,
        network: EncoderMLP,
        key: Key[Array, ""],
        *,
        rate: float = 0.01,
        adapted: Adapted = "head",
        first_order: bool = False,
        fresh_readout: bool = False,
        rates: RateSharing = "given",
        alignment: bool = False,
    ):
        if not rate > 0:
            raise ValueError(f"the learning rate must be positive, not {rate}")
        if alignment and adapted == "all":
            raise ValueError("random feedback reaches the layers behind the encoder: adapt those only")
        self.network, self.start = network, network.init(key)
        self.rate, self.adapted, self.first_order = float(rate), adapted, first_order
        self.fresh_readout, self.alignment = fresh_readout, alignment
        self.rates = _rates(rates, float(rate), self._fast(self.start))

    def redrawn(self, key: Key[Array, ""]) -> "OnlineGradient":
        return eqx.tree_at(lambda learner: learner.start, self, self.network.init(key))

    def init(self, key: Key[Array, ""]) -> GradientState:
        readout_key, alignment_key = jax.random.split(key)
        weights = self.start
        if self.fresh_readout:
            shape = weights.layers[-1].weight.shape
            fresh = kaiming_normal(readout_key, shape, shape[1])
            weights = eqx.tree_at(lambda w: w.layers[-1].weight, weights, fresh)
        alignment = self.network.init(alignment_key).layers if self.alignment else ()
        return GradientState(self._fast(weights), tuple(layer.weight for layer in alignment))

    def precompute(self, support: Examples) -> Examples:
        if self.adapted == "all":
            return support
        return Examples(seen_at_once(self.network.encoder, self.start.encoder, support.x), support.y)

    def update(self, state: GradientState, example: Examples, key: Key[Array, ""]) -> GradientState:
        del key

        def loss(fast: PyTree) -> Float[Array, ""]:
            outputs = self._outputs(self._with(fast), state.alignment, example.x)
            return self.network.readout.loss(outputs, example.y)

        gradient = jax.grad(loss)(state.fast)
        gradient = jax.lax.stop_gradient(gradient) if self.first_order else gradient
        rates = self.rate if self.rates is None else self.rates
        step = lambda rate, w, g: jax.tree.map(lambda w, g: w - rate * g, w, g)  # noqa: E731
        # One rate stands for all arrays below it.
        return GradientState(jax.tree.map(step, rates, state.fast, gradient), state.alignment)

    def _fast(self, weights: EncoderWeights) -> PyTree:
        """What changes within an episode."""
        return {"all": weights, "head": weights.layers, "readout": weights.layers[-1:]}[self.adapted]

    def _with(self, fast: PyTree) -> EncoderWeights:
        """All weights: those that change, and the others as they are at the start."""
        if self.adapted == "all":
            return fast
        layers = self.start.layers
        return EncoderWeights(self.start.encoder, (*layers[: len(layers) - len(fast)], *fast))

    def _outputs(
        self, weights: EncoderWeights, alignment: PyTree, x: Num[Array, "batch ..."]
    ) -> Float[Array, "batch outputs"]:
        """Outputs for prepared inputs."""
        features = self.network.encoder(weights.encoder, x) if self.adapted == "all" else x
        if self.alignment:
            return _aligned(weights.layers, alignment, features)
        return self.network.activity(weights.layers, features)[-1]

    def weights(self, state: GradientState) -> EncoderWeights:
        return self._with(state.fast)

    def scalars(self) -> Metrics:
        leaves = jax.tree.leaves(self.rates)
        return {f"rate{number}": jnp.mean(leaf) for number, leaf in enumerate(leaves, start=1)}


def _rates(sharing: RateSharing, rate: float, fast: PyTree) -> PyTree:
    """Learned rates, if there are any."""
    if sharing == "given":
        return None
    if sharing == "global":
        return jnp.asarray(rate, jnp.result_type(float))
    return jax.tree.map(lambda leaf: jnp.full(leaf.shape if sharing == "synapse" else (), rate, leaf.dtype), fast)


def _aligned(
    layers: tuple[Affine, ...], alignment: PyTree, features: Float[Array, "batch features"]
) -> Float[Array, "batch outputs"]:
    """The network's outputs, whose derivative goes back through ``alignment`` in place of the weights."""
    y = features
    for number, (layer, feedback) in enumerate(zip(layers, alignment, strict=True), start=1):
        # In value both brackets are as usual; their derivatives go one to the weights, the other to the input.
        still = jax.lax.stop_gradient(y)
        back = (y - still) @ jax.lax.stop_gradient(feedback).T
        preactivation = still @ layer.weight.T + back + layer.bias[None]
        y = jax.nn.relu(preactivation) if number < len(layers) else preactivation
    return y
