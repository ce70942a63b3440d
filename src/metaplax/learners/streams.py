"""Learners of streams of minibatches: what they have in common."""

from abc import abstractmethod

import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import Array, Float, Num, PyTree

from metaplax.learners.base import AbstractLearner, IncompatibleError, Metrics
from metaplax.networks import AbstractEncoder, EncoderMLP, EncoderWeights, SoftmaxCrossEntropy
from metaplax.tasks import Episode, Examples


class AbstractStreamLearner(AbstractLearner):
    """A learner whose network has encoder layers and others behind them, and that sees one minibatch after the other."""

    network: AbstractVar[EncoderMLP]
    start: AbstractVar[EncoderWeights]

    @abstractmethod
    def weights(self, state: PyTree) -> EncoderWeights:
        """All weights and biases of the network in this state."""

    def evaluate(self, state: PyTree, query: Examples) -> tuple[Float[Array, ""], Metrics]:
        outputs = self.network(self.weights(state), query.x)
        return self.network.readout.loss(outputs, query.y), self.network.readout.metrics(outputs, query.y)

    def check(self, episode: Episode, classes: int | None = None) -> None:
        check_stream(self.network, episode, classes)


def seen_at_once(
    encoder: AbstractEncoder, weights: PyTree, x: Num[Array, "steps batch ..."]
) -> Float[Array, "steps batch features"]:
    """Features of a whole stream, which layers that do not change within it can compute in one go."""
    steps, batch = x.shape[:2]
    return encoder(weights, x.reshape(steps * batch, *x.shape[2:])).reshape(steps, batch, -1)


def check_stream(network: EncoderMLP, episode: Episode, classes: int | None) -> None:
    """Refuse episodes that are no stream of minibatches of what the network takes.

    Raises:
        IncompatibleError: one sentence saying what does not fit.
    """
    shape, outputs = network.encoder.shape, network.outputs
    takes_classes = isinstance(network.readout, SoftmaxCrossEntropy)
    for name, part, leading in (("support", episode.support, 2), ("query", episode.query, 1)):
        found = part.x.shape if isinstance(part, Examples) else ()
        if found[leading:] != shape or len(found) != leading + len(shape):
            wanted = ", ".join([*("steps", "batch")[-leading:], *map(str, shape)])
            raise IncompatibleError(f"the network takes a {name} set of shape ({wanted}), but the task gives {found}")
        if jnp.issubdtype(part.y.dtype, jnp.integer) != takes_classes:
            kind = "classes" if takes_classes else "numbers"
            raise IncompatibleError(f"the network's outputs are {kind}, but the task's targets are {part.y.dtype}")
        if not takes_classes and part.y.shape != (*found[:leading], outputs):
            raise IncompatibleError(
                f"targets of {outputs} outputs have shape {(*found[:leading], outputs)}, but those of the {name} set"
                f" have {part.y.shape}"
            )
    if classes is not None and classes > outputs:
        raise IncompatibleError(f"the task has {classes} classes, but the network {outputs} outputs")
