"""Inner steps of meta-optimisation: a network with a learned decay of every weight, trained on minibatches."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from benchmarks.cases.base import AbstractStep, Run
from metaplax.learners import Descent, MetaRegularised
from metaplax.networks import AbstractFunctionalNetwork, BatchNormLeNet, EquinoxNetwork, SoftmaxCrossEntropy
from metaplax.tasks import Examples

RATE, MOMENTUM, DECAY = 1e-3, 0.9, 1e-4
BATCHES = 4
"""Batches in the support set."""


@dataclass(frozen=True)
class RegularisedStep(AbstractStep):
    """A step on a minibatch of random images, with the decay of every weight.

    Attributes:
        network: what is trained.
        optimizer: the optax optimiser of the inner loop.
        shape: shape of an image.
        batch: images per step.
    """

    network: AbstractFunctionalNetwork
    optimizer: optax.GradientTransformation
    shape: tuple[int, ...]
    batch: int = 500

    def learner(self, steps: int) -> MetaRegularised:
        """A learner that takes ``steps`` inner steps."""
        descent = Descent(self.optimizer, steps, self.batch)
        return MetaRegularised(self.network, SoftmaxCrossEntropy(), descent, DECAY)

    def support(self) -> Examples:
        """A few batches of random images and labels."""
        pixels, labels = jax.random.split(jax.random.key(0))
        images = BATCHES * self.batch
        x = jax.random.normal(pixels, (images, *self.shape))
        return Examples(x, jax.random.randint(labels, (images,), 0, 10, jnp.int32))

    def compiled(self, steps: int) -> Run:
        learner, support = self.learner(steps), self.support()
        start = learner.init(jax.random.key(1))
        minimise = jax.jit(lambda start, key: learner.minimise(start, support, key))
        return lambda: jax.block_until_ready(minimise(start, jax.random.key(2)))


REGULARISED_STEPS: dict[str, AbstractStep] = {
    "metaopt-mnist": RegularisedStep(
        EquinoxNetwork(lambda key: eqx.nn.MLP(784, 10, 256, 5, jnp.tanh, key=key)), optax.adam(RATE), (784,)
    ),
    "metaopt-cifar10": RegularisedStep(BatchNormLeNet(), optax.sgd(RATE, MOMENTUM, nesterov=True), (32, 32, 3)),
}
"""Steps of the published sizes (Zucchet et al., 2022)."""
