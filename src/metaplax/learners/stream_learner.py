"""The common part of learners of streams of minibatches."""

from abc import abstractmethod

from equinox import AbstractVar
from jaxtyping import Array, Float, Num, PyTree

from metaplax.learners.base import AbstractLearner, Metrics
from metaplax.learners.examples import check_examples
from metaplax.networks import AbstractEncoder, EncoderMLP, EncoderWeights
from metaplax.tasks import Episode, Examples


class AbstractStreamLearner(AbstractLearner):
    """A learner with an encoder and layers behind it, which sees one minibatch after the other."""

    network: AbstractVar[EncoderMLP]
    start: AbstractVar[EncoderWeights]

    @abstractmethod
    def weights(self, state: PyTree) -> EncoderWeights:
        """All weights and biases of the network in this state."""

    def evaluate(self, state: PyTree, query: Examples) -> tuple[Float[Array, ""], Metrics]:
        outputs = self.network(self.weights(state), query.x)
        return self.network.readout.loss(outputs, query.y), self.network.readout.metrics(outputs, query.y)

    def output_size(self, episode: Episode) -> int:
        return self.network.outputs

    def check(self, episode: Episode, classes: int | None = None) -> None:
        network = self.network
        for name, part, leading in (("support", episode.support, 2), ("query", episode.query, 1)):
            check_examples(
                name,
                part,
                readout=network.readout,
                outputs=network.outputs,
                inputs=network.encoder.shape,
                leading=leading,
                classes=classes,
            )


def seen_at_once(
    encoder: AbstractEncoder, weights: PyTree, x: Num[Array, "steps batch ..."]
) -> Float[Array, "steps batch features"]:
    """Features of a whole stream at once, by an encoder that does not change within it."""
    steps, batch = x.shape[:2]
    return encoder(weights, x.reshape(steps * batch, *x.shape[2:])).reshape(steps, batch, -1)
