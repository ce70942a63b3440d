"""What one inner step of meta-optimisation costs, beside the same step in eager PyTorch."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from metaplax.learners import Descent, MetaRegularised
from metaplax.networks import AbstractBatchNetwork, BatchNormLeNet, EquinoxNetwork, SoftmaxCrossEntropy
from metaplax.tasks import Examples

STRENGTH = 1e-4
"""Of the regulariser of every weight."""

HELD = 4
"""Batches in the support set."""


@dataclass(frozen=True)
class InnerStep:
    """A network with a regulariser of its own for every weight, trained on minibatches of random images.

    Attributes:
        network: what is trained.
        optimizer: of the inner loop, as optax has it.
        shape: of an image.
        batch: images per step.
    """

    network: AbstractBatchNetwork
    optimizer: optax.GradientTransformation
    shape: tuple[int, ...]
    batch: int = 500

    def learner(self, steps: int) -> MetaRegularised:
        """The learner, which takes so many inner steps."""
        return MetaRegularised(
            self.network, SoftmaxCrossEntropy(), Descent(self.optimizer, steps, self.batch), STRENGTH
        )

    def support(self) -> Examples:
        """A few batches of random images and labels."""
        pixels, labels = jax.random.split(jax.random.key(0))
        images = HELD * self.batch
        return Examples(
            jax.random.normal(pixels, (images, *self.shape)), jax.random.randint(labels, (images,), 0, 10, jnp.int32)
        )


RATE, MOMENTUM = 1e-3, 0.9
STEPS: dict[str, InnerStep] = {
    "metaopt-mnist": InnerStep(
        EquinoxNetwork(lambda key: eqx.nn.MLP(784, 10, 256, 5, jnp.tanh, key=key)), optax.adam(RATE), (784,)
    ),
    "metaopt-cifar10": InnerStep(BatchNormLeNet(), optax.sgd(RATE, MOMENTUM, nesterov=True), (32, 32, 3)),
}
"""Inner steps of the published sizes (Zucchet et al., 2022), by the name of their experiment."""


@dataclass(frozen=True)
class StepCost:
    """What one inner step takes.

    Attributes:
        name: of the step.
        cpu_seconds: processor time, median of several runs.
        pytorch_cpu_seconds: likewise in eager PyTorch; nothing without PyTorch.
    """

    name: str
    cpu_seconds: float
    pytorch_cpu_seconds: float | None

    @property
    def ratio(self) -> float | None:
        """How many times as much PyTorch takes."""
        return self.pytorch_cpu_seconds and self.pytorch_cpu_seconds / self.cpu_seconds


def step_cost(name: str, steps: int = 50, repeats: int = 3) -> StepCost:
    """Cost of an inner step within a compiled loop, and in eager PyTorch right after that.

    Args:
        name: one of :data:`STEPS`.
        steps: inner steps per run.
        repeats: runs that are timed, after one that is not.
    """
    case = STEPS[name]
    learner, support = case.learner(steps), case.support()
    start = learner.init(jax.random.key(1))
    settle = jax.jit(lambda start, key: learner.settle(start, support, key))

    def once() -> None:
        jax.block_until_ready(settle(start, jax.random.key(2)))

    ours = _seconds(once, repeats) / steps
    try:
        from metaplax.benchmark.pytorch_steps import eager_run
    except ImportError:
        return StepCost(name, ours, None)
    return StepCost(name, ours, _seconds(eager_run(name, case, start.fast, support, steps), repeats) / steps)


def _seconds(run: Callable[[], object], repeats: int) -> float:
    """Median processor time of one run, after one that is not counted."""
    run()
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        run()
        seconds.append(time.process_time() - began)
    return float(np.median(seconds))


def energy_and_slope(case: InnerStep, fast, support: Examples) -> tuple[Float[Array, ""], object]:
    """The energy of one batch and its derivative with respect to all weights: what a step computes."""
    learner = case.learner(1)
    buffers = learner.init(jax.random.key(1)).buffers
    first = jax.tree.map(lambda leaf: leaf[: case.batch], support)
    return jax.value_and_grad(lambda fast: learner.augmented(fast, buffers, first)[0])(fast)
