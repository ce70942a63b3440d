"""Online learning by gradient descent from a learned start, and what remains of it without learning the start."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Num, PyTree

from metaplax.learners.base import AbstractLearner, Metrics
from metaplax.learners.examples import check_examples
from metaplax.networks import EncoderMLP, EncoderWeights
from metaplax.networks.layers import kaiming_normal
from metaplax.tasks import Episode, Examples

Adapted = Literal["all", "head", "readout"]
RateSharing = Literal["given", "global", "layer", "synapse"]


class GradientState(eqx.Module):
    """What changes within an episode."""

    fast: PyTree


class OnlineGradient(AbstractLearner):
    """A network that learns a stream by one step of gradient descent per minibatch.

    The initial weights are meta-learned: with ``adapted="head"`` this is OML, with ``"all"`` MAML along a stream, and
    with learned rates Meta-SGD. Without meta-learning it is online backprop.

    Args:
        network: an encoder, and fully connected layers behind it.
        key: randomness of the initial weights.
        rate: learning rate, or the initial value of learned ones.
        adapted: the layers that change within an episode: all, those behind the encoder, or the last one only.
        first_order: treat the inner gradient as a constant when the meta-gradient is computed.
        fresh_readout: draw the weights of the output layer anew in every episode.
        rates: whether the rate is given, or learned: one for all, one per array, or one per synapse.

    Raises:
        ValueError: the rate is not positive.

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
    ):
        if not rate > 0:
            raise ValueError(f"the learning rate must be positive, not {rate}")
        self.network, self.start = network, network.init(key)
        self.rate, self.adapted, self.first_order = float(rate), adapted, first_order
        self.fresh_readout = fresh_readout
        self.rates = _rates(rates, float(rate), self._fast(self.start))

    def redrawn(self, key: Key[Array, ""]) -> "OnlineGradient":
        return eqx.tree_at(lambda learner: learner.start, self, self.network.init(key))

    def init(self, key: Key[Array, ""]) -> GradientState:
        weights = self.start
        if self.fresh_readout:
            shape = weights.layers[-1].weight.shape
            fresh = kaiming_normal(key, shape, shape[1])
            weights = eqx.tree_at(lambda w: w.layers[-1].weight, weights, fresh)
        return GradientState(self._fast(weights))

    def precompute(self, support: Examples) -> Examples:
        if self.adapted == "all":
            return support
        return Examples(self.network.encoder.of_many(self.start.encoder, support.x), support.y)

    def update(self, state: GradientState, example: Examples, key: Key[Array, ""]) -> GradientState:
        del key

        def loss(fast: PyTree) -> Float[Array, ""]:
            outputs = self.outputs(GradientState(fast), example.x)
            return self.network.readout.loss(outputs, example.y)

        gradient = jax.grad(loss)(state.fast)
        gradient = jax.lax.stop_gradient(gradient) if self.first_order else gradient
        rates = self.rate if self.rates is None else self.rates
        step = lambda rate, w, g: jax.tree.map(lambda w, g: w - rate * g, w, g)  # noqa: E731
        # One rate stands for all arrays below it.
        return GradientState(jax.tree.map(step, rates, state.fast, gradient))

    def _fast(self, weights: EncoderWeights) -> PyTree:
        """What changes within an episode."""
        return {"all": weights, "head": weights.layers, "readout": weights.layers[-1:]}[self.adapted]

    def _with(self, fast: PyTree) -> EncoderWeights:
        """All weights: those that change, and the others as they are at the start."""
        if self.adapted == "all":
            return fast
        layers = self.start.layers
        return EncoderWeights(self.start.encoder, (*layers[: len(layers) - len(fast)], *fast))

    def outputs(self, state: GradientState, x: Num[Array, "batch ..."]) -> Float[Array, "batch outputs"]:
        """Outputs for inputs as ``precompute`` prepares them."""
        weights = self.weights(state)
        features = self.network.encoder(weights.encoder, x) if self.adapted == "all" else x
        return self.network.activity(weights.layers, features)[-1]

    def weights(self, state: GradientState) -> EncoderWeights:
        """All weights and biases of the network in this state."""
        return self._with(state.fast)

    def evaluate(self, state: GradientState, query: Examples) -> tuple[Float[Array, ""], Metrics]:
        outputs = self.network(self.weights(state), query.x)
        return self.network.readout.loss(outputs, query.y), self.network.readout.metrics(outputs, query.y)

    def output_size(self, episode: Episode) -> int:
        return self.network.outputs

    def check(self, episode: Episode, classes: int | None = None) -> None:
        for name, part, leading in (("support", episode.support, 2), ("query", episode.query, 1)):
            check_examples(
                name,
                part,
                readout=self.network.readout,
                outputs=self.network.outputs,
                inputs=self.network.encoder.shape,
                leading=leading,
                classes=classes,
            )

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
