"""Meta-steps of learned feedback with local plasticity: the meta-gradient of one stream."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from benchmarks.cases.base import AbstractSingleStep, AbstractStep, Run
from metaplax.estimators import AbstractEstimator, Checkpointed, Reversible
from metaplax.learners import FeedbackPlasticity, PlasticLearner
from metaplax.networks import ConvEncoder, EncoderMLP, MeanSquaredError, NoEncoder, SoftmaxCrossEntropy
from metaplax.tasks import Episode, Examples

PLASTICITY = 1e-9
"""So small that nothing explodes within 400 steps; the cost of a step does not depend on it."""


@dataclass(frozen=True)
class StreamMetaStep(AbstractSingleStep):
    """The meta-gradient of one episode: a stream of random minibatches, then a query set.

    Attributes:
        network: what learns.
        steps: minibatches in the stream.
        batch: examples in each.
        queries: examples in the query set.
        estimator: the meta-gradient estimator.
    """

    network: EncoderMLP
    steps: int
    batch: int
    queries: int
    estimator: AbstractEstimator

    @property
    def is_regression(self) -> bool:
        """Whether targets are numbers."""
        return isinstance(self.network.readout, MeanSquaredError)

    def learner(self) -> PlasticLearner:
        """The learner as published, without bounds; only its plasticity is smaller."""
        regression = self.is_regression
        return FeedbackPlasticity(
            self.network,
            jax.random.key(0),
            signal="error" if regression else "target",
            output_path="drawn" if regression else "none",
            mixing=0.5 if regression else 1.0,
            hidden_multiplier=1.0 if regression else 100.0,
            plasticity=PLASTICITY,
            bound=None,
        )

    def episode(self) -> Episode:
        """Random inputs and targets."""
        keys = jax.random.split(jax.random.key(1), 4)

        def draw(key: jax.Array, target_key: jax.Array, *leading: int) -> Examples:
            x = jax.random.uniform(key, (*leading, *self.network.encoder.shape))
            if self.is_regression:
                return Examples(x, jax.random.normal(target_key, (*leading, self.network.outputs)))
            return Examples(x, jax.random.randint(target_key, leading, 0, 5, jnp.int32))

        return Episode(draw(*keys[:2], self.steps, self.batch), draw(*keys[2:], self.queries))

    def compiled(self, steps: int) -> Run:
        del steps
        learner, episode, key = self.learner(), self.episode(), jax.random.key(2)
        take = jax.jit(lambda episode: self.estimator.value_and_grad(learner, episode, key))
        return lambda: jax.block_until_ready(take(episode))


META_STEPS: dict[str, AbstractStep] = {
    "regression-meta-step": StreamMetaStep(
        EncoderMLP(NoEncoder((11,)), (300, 300, 300, 300, 300, 900, 300, 300, 1), MeanSquaredError()),
        steps=400,
        batch=32,
        queries=320,
        estimator=Reversible(),
    ),
    "omniglot-meta-step": StreamMetaStep(
        EncoderMLP(ConvEncoder(84, 1, 128, (2, 1, 2, 1, 2, 2)), (128, 1000), SoftmaxCrossEntropy()),
        steps=25,
        batch=1,
        queries=25,
        estimator=Checkpointed(25),
    ),
}
"""Meta-steps of the published sizes (Lindsey & Litwin-Kumar, 2020)."""
