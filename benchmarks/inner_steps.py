"""What one inner step costs, within a compiled loop, beside the same step in eager PyTorch."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.measure import timed
from metaplax.learners import Descent, EProp, MetaRegularised
from metaplax.networks import (
    AbstractFunctionalNetwork,
    BatchNormLeNet,
    EquinoxNetwork,
    RecurrentLIF,
    SoftmaxCrossEntropy,
    SpikingWeights,
    Triangular,
)
from metaplax.tasks import Examples, SpikingSinusoids

STRENGTH = 1e-4
"""Of the regulariser of every weight."""

HELD = 4
"""Batches in the support set."""


Run = Callable[[], object]
"""Takes so many steps, and waits until they are done."""


class AbstractInnerStep(ABC):
    """An inner step that can be timed here and in PyTorch."""

    @property
    def copies(self) -> int:
        """How many times a compiled program takes all steps, for independent tasks."""
        return 1

    def per_run(self, steps: int) -> int:
        """How many steps a run takes when it is asked for so many."""
        return steps

    @abstractmethod
    def compiled(self, steps: int) -> Run:
        """So many steps of every copy as one program."""

    @abstractmethod
    def eager(self, steps: int) -> Run:
        """The same in eager PyTorch, on one thread.

        Raises:
            ImportError: PyTorch is not installed.
        """


@dataclass(frozen=True)
class RegularisedStep(AbstractInnerStep):
    """A network with a regulariser of its own for every weight, trained on minibatches of random images.

    Attributes:
        network: what is trained.
        optimizer: of the inner loop, as optax has it.
        shape: of an image.
        batch: images per step.
    """

    network: AbstractFunctionalNetwork
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

    def compiled(self, steps: int) -> Run:
        learner, support = self.learner(steps), self.support()
        start = learner.init(jax.random.key(1))
        settle = jax.jit(lambda start, key: learner.minimise(start, support, key))
        return lambda: jax.block_until_ready(settle(start, jax.random.key(2)))

    def eager(self, steps: int) -> Run:
        from benchmarks.pytorch_steps import eager_run

        return eager_run(self, self.learner(1).init(jax.random.key(1)).fast, self.support(), steps)


@dataclass(frozen=True)
class EPropStep(AbstractInnerStep):
    """A recurrent spiking network that goes down the e-prop gradient of a batch.

    Attributes:
        network: what learns.
        task: what it learns.
        rate: learning rate.
        tasks: how many learn in one program, one after the other.
    """

    network: RecurrentLIF
    task: SpikingSinusoids
    rate: float = 1e-4
    tasks: int = 8

    @property
    def copies(self) -> int:
        return self.tasks

    @property
    def credit(self) -> EProp:
        """e-prop and nothing else."""
        return EProp(rate_penalty=0.0, pseudo=Triangular(width=self.network.threshold))

    def start(self) -> tuple[SpikingWeights, Examples]:
        """Weights and support sets of all tasks."""
        keys = jax.random.split(jax.random.key(0), self.tasks)
        return jax.vmap(self.network.init)(keys), jax.vmap(self.task.sample)(keys).support

    def direction(self, weights: SpikingWeights, examples: Examples) -> SpikingWeights:
        """The e-prop gradient of one task."""
        return self.inner_gradient.direction(self.network, weights, examples.x, examples.y, inner=True)

    def compiled(self, steps: int) -> Run:
        def one(task: tuple[SpikingWeights, Examples]) -> SpikingWeights:
            weights, examples = task

            def step(weights: SpikingWeights, _: None) -> tuple[SpikingWeights, None]:
                slope = self.direction(weights, examples)
                return jax.tree.map(lambda weight, d: weight - self.rate * d, weights, slope), None

            return jax.lax.scan(step, weights, length=steps)[0]

        learn = jax.jit(lambda start: jax.lax.map(one, start))
        start = self.start()
        return lambda: jax.block_until_ready(learn(start))

    def eager(self, steps: int) -> Run:
        from benchmarks.pytorch_eprop import eager_run

        weights, examples = jax.tree.map(lambda leaf: leaf[0], self.start())
        return eager_run(self, weights, examples, steps)


RATE, MOMENTUM = 1e-3, 0.9
STEPS: dict[str, AbstractInnerStep] = {
    "metaopt-mnist": RegularisedStep(
        EquinoxNetwork(lambda key: eqx.nn.MLP(784, 10, 256, 5, jnp.tanh, key=key)), optax.adam(RATE), (784,)
    ),
    "metaopt-cifar10": RegularisedStep(BatchNormLeNet(), optax.sgd(RATE, MOMENTUM, nesterov=True), (32, 32, 3)),
    "spiking-sinusoid": EPropStep(RecurrentLIF(), SpikingSinusoids()),
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


def step_cost(name: str, case: AbstractInnerStep, steps: int = 50, repeats: int = 3) -> StepCost:
    """Cost of a step within a compiled program, and in eager PyTorch right after that.

    Args:
        name: of the step.
        case: the step.
        steps: inner steps per run.
        repeats: runs that are timed, after one that is not.
    """
    taken = case.per_run(steps)
    ours = _seconds(case.compiled(steps), repeats) / taken / case.copies
    try:
        eager = case.eager(steps)
    except ImportError:
        return StepCost(name, ours, None)
    return StepCost(name, ours, _seconds(eager, repeats) / taken)


def _seconds(run: Run, repeats: int) -> float:
    """Median processor time of one run, after one that is not counted."""
    run()
    return float(np.median([timed(run)[0] for _ in range(repeats)]))
