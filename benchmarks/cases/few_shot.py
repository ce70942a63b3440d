"""Few-shot learning of images: free and nudged inner steps, and a whole contrastive meta-update."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from benchmarks.cases.base import AbstractSingleStep, AbstractStep, Run
from metaplax.estimators import Contrastive
from metaplax.learners import ComplexSynapse, Descent
from metaplax.networks import ConvBlocks, SoftmaxCrossEntropy
from metaplax.tasks import Episode, Examples

RATE, MOMENTUM, STRENGTH, BETA = 0.01, 0.9, 0.5, 0.1


@dataclass(frozen=True)
class FewShotStep(AbstractStep):
    """Convolutional blocks with complex synapses on a few random images of a few classes.

    Attributes:
        network: what is trained.
        shots: images of each class to learn from.
        queries: images of each class that nudge.
        nudged: whether they do.
    """

    network: ConvBlocks
    shots: int
    queries: int
    nudged: bool

    def learner(self, steps: int) -> ComplexSynapse:
        """A learner that takes ``steps`` inner steps."""
        descent = Descent(optax.sgd(RATE, MOMENTUM, nesterov=True), steps)
        options = {"log_space": False, "learn_strength": False}
        return ComplexSynapse(self.network, SoftmaxCrossEntropy(), descent, STRENGTH, **options)

    def episode(self, seed: int = 0) -> Episode:
        """Random images, sorted by class."""
        keys = jax.random.key(2 * seed), jax.random.key(2 * seed + 1)
        return Episode(self._images(keys[0], self.shots), self._images(keys[1], self.queries))

    def _images(self, key: jax.Array, count: int) -> Examples:
        side, classes = self.network.side, self.network.outputs
        x = jax.random.uniform(key, (classes * count, side, side, self.network.channels_in))
        return Examples(x, jnp.repeat(jnp.arange(classes, dtype=jnp.int32), count))

    @property
    def beta(self) -> float:
        """The nudging factor beta."""
        return BETA if self.nudged else 0.0

    def compiled(self, steps: int) -> Run:
        learner, episode, key = self.learner(steps), self.episode(), jax.random.key(1)
        query = episode.query if self.nudged else None
        minimise = jax.jit(lambda start: learner.minimise(start, episode.support, key, query=query, beta=self.beta))
        start = learner.init(key)
        return lambda: jax.block_until_ready(minimise(start))


@dataclass(frozen=True)
class FewShotMetaUpdate(AbstractSingleStep):
    """The symmetric contrastive meta-gradient of a batch of tasks; the rival is a Python loop over them.

    Attributes:
        step: what the inner loop consists of.
        tasks: tasks in the batch.
        phase: inner steps of each of the three phases.
    """

    step: FewShotStep
    tasks: int
    phase: int

    def episodes(self) -> list[Episode]:
        """The tasks of the batch."""
        return [self.step.episode(n) for n in range(self.tasks)]

    def compiled(self, steps: int) -> Run:
        del steps
        learner, estimator = self.step.learner(self.phase), Contrastive(BETA, "symmetric")
        batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *self.episodes())

        def update(batch: Episode) -> PyTree:
            one = lambda episode: estimator.value_and_grad(learner, episode, jax.random.key(1)).gradient  # noqa: E731
            return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), jax.lax.map(one, batch))

        take = jax.jit(update)
        return lambda: jax.block_until_ready(take(batch))


NUDGED = FewShotStep(ConvBlocks(), shots=1, queries=15, nudged=True)
FEW_SHOT_STEPS: dict[str, AbstractStep] = {
    "fewshot-free": FewShotStep(ConvBlocks(), shots=1, queries=15, nudged=False),
    "fewshot-nudged": NUDGED,
    "fewshot-meta-update": FewShotMetaUpdate(NUDGED, tasks=4, phase=5),
}
"""Steps of the published sizes, 5-way 1-shot Omniglot (Zucchet et al., 2022); the meta-update with few steps."""
