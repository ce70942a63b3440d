"""Inner steps of a spiking network: descent along the e-prop gradient of a batch."""

from dataclasses import dataclass, field

import jax

from benchmarks.cases.base import AbstractStep, Run
from metaplax.learners import EProp
from metaplax.networks import RecurrentLIF, SpikingWeights, Triangular
from metaplax.tasks import Examples, SpikingSinusoids


@dataclass(frozen=True)
class EPropStep(AbstractStep):
    """A recurrent spiking network that descends the e-prop gradient of a batch; the published sizes by default.

    Attributes:
        network: what learns.
        task: what it learns.
        rate: learning rate.
        tasks: how many learn in one program, one after the other.
    """

    network: RecurrentLIF = field(default_factory=RecurrentLIF)
    task: SpikingSinusoids = field(default_factory=SpikingSinusoids)
    rate: float = 1e-4
    tasks: int = 8

    @property
    def copies(self) -> int:
        return self.tasks

    @property
    def inner_gradient(self) -> EProp:
        """e-prop without a penalty on firing rates."""
        return EProp(rate_penalty=0.0, pseudo=Triangular(width=self.network.threshold))

    def start(self) -> tuple[SpikingWeights, Examples]:
        """Weights and support sets of all tasks, stacked."""
        keys = jax.random.split(jax.random.key(0), self.tasks)
        return jax.vmap(self.network.init)(keys), jax.vmap(self.task.sample)(keys).support

    def direction(self, weights: SpikingWeights, examples: Examples) -> SpikingWeights:
        """The e-prop gradient of one task."""
        return self.inner_gradient.direction(self.network, weights, examples.x, examples.y, inner=True)

    def compiled(self, steps: int) -> Run:
        def one(task: tuple[SpikingWeights, Examples]) -> SpikingWeights:
            weights, examples = task

            def step(weights: SpikingWeights, _: None) -> tuple[SpikingWeights, None]:
                gradient = self.direction(weights, examples)
                return jax.tree.map(lambda weight, d: weight - self.rate * d, weights, gradient), None

            return jax.lax.scan(step, weights, length=steps)[0]

        learn = jax.jit(lambda start: jax.lax.map(one, start))
        start = self.start()
        return lambda: jax.block_until_ready(learn(start))
