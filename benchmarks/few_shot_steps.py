"""What few-shot learning of images costs: free and nudged inner steps, and a whole contrastive meta-update."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from benchmarks.inner_steps import MOMENTUM, AbstractInnerStep, Run
from metaplax.estimators import Contrastive
from metaplax.learners import ComplexSynapse, Descent
from metaplax.networks import ConvBlocks, SoftmaxCrossEntropy
from metaplax.tasks import Episode, Examples

RATE = 0.01
STRENGTH = 0.5
BETA = 0.1


@dataclass(frozen=True)
class FewShotStep(AbstractInnerStep):
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
        """The learner, which takes so many inner steps."""
        return ComplexSynapse(
            self.network,
            SoftmaxCrossEntropy(),
            Descent(optax.sgd(RATE, MOMENTUM, nesterov=True), steps),
            STRENGTH,
            log_space=False,
            learn_strength=False,
        )

    def episode(self, seed: int = 0) -> Episode:
        """Random images, sorted by class."""
        return Episode(
            *(self._images(jax.random.key(2 * seed + k), n) for k, n in enumerate((self.shots, self.queries)))
        )

    def _images(self, key: jax.Array, count: int) -> Examples:
        side, classes = self.network.side, self.network.outputs
        x = jax.random.uniform(key, (classes * count, side, side, self.network.channels_in))
        return Examples(x, jnp.repeat(jnp.arange(classes, dtype=jnp.int32), count))

    @property
    def beta(self) -> float:
        """Nudging strength."""
        return BETA if self.nudged else 0.0

    def compiled(self, steps: int) -> Run:
        learner, episode, key = self.learner(steps), self.episode(), jax.random.key(1)
        query = episode.query if self.nudged else None
        settle = jax.jit(lambda start: learner.minimise(start, episode.support, key, query=query, beta=self.beta))
        start = learner.init(key)
        return lambda: jax.block_until_ready(settle(start))

    def eager(self, steps: int) -> Run:
        from benchmarks.pytorch_few_shot import steps_of

        return steps_of(self.learner(steps), self.episode(), steps, self.beta)


@dataclass(frozen=True)
class FewShotMetaUpdate(AbstractInnerStep):
    """The symmetric contrastive meta-gradient of a batch of tasks, beside a Python loop over them.

    Attributes:
        step: of the inner loop.
        tasks: in the batch.
        phase: inner steps of each of the three phases.
    """

    step: FewShotStep
    tasks: int
    phase: int

    def per_run(self, steps: int) -> int:
        del steps
        return 1

    def compiled(self, steps: int) -> Run:
        del steps
        learner = self.step.learner(self.phase)
        estimator = Contrastive(BETA, "symmetric")
        episodes = [self.step.episode(n) for n in range(self.tasks)]
        batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *episodes)

        def update(batch: Episode) -> PyTree:
            one = lambda episode: estimator.value_and_grad(learner, episode, jax.random.key(1))[1]  # noqa: E731
            return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), jax.lax.map(one, batch))

        take = jax.jit(update)
        return lambda: jax.block_until_ready(take(batch))

    def eager(self, steps: int) -> Run:
        del steps
        from benchmarks.pytorch_few_shot import meta_update_of

        episodes = [self.step.episode(n) for n in range(self.tasks)]
        return meta_update_of(self.step.learner(self.phase), episodes, self.phase, BETA)


FREE = FewShotStep(ConvBlocks(), shots=1, queries=15, nudged=False)
NUDGED = FewShotStep(ConvBlocks(), shots=1, queries=15, nudged=True)
FEW_SHOT_STEPS: dict[str, AbstractInnerStep] = {
    "fewshot-free": FREE,
    "fewshot-nudged": NUDGED,
    "fewshot-meta-update": FewShotMetaUpdate(NUDGED, tasks=4, phase=5),
}
"""Steps of the published sizes, 5-way 1-shot Omniglot (Zucchet et al., 2022); the meta-update with few steps."""
