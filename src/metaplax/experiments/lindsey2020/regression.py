"""Sinusoids learned online, mixed or one after the other."""

from dataclasses import dataclass, replace

import optax

from metaplax.data import ImageSet
from metaplax.experiments.base import ConfigError, Load, config_errors
from metaplax.experiments.lindsey2020.base import AbstractStreamExperiment, Arm
from metaplax.experiments.presets import load_presets, load_settings
from metaplax.networks import DenseEncoder, EncoderMLP, MeanSquaredError, NoEncoder
from metaplax.runs import ReportOptions
from metaplax.tasks import Order, Sinusoids


@dataclass(frozen=True)
class AbstractRegression(AbstractStreamExperiment):
    """Ten sinusoids per stream; a slot of the input says which one.

    Attributes:
        sizes: neurons per hidden layer.
        functions: sinusoids per stream.
        minibatches: minibatches per sinusoid.
        batch: points per minibatch.
        pool: number of sinusoids that meta-training draws from.
        test_pool: number of sinusoids that test streams draw from.
        milestones: meta-steps after each of which the learning rate of the start is multiplied by 0.3, as published; in
            the published runs, which were restarted every 1,000 meta-steps, that never happened.
    """

    settings = load_settings(__file__, "arms.toml", Arm, "regression")
    presets = load_presets(__file__, "regression")

    data: str = "none"
    sizes: tuple[int, ...] = (300, 300, 300, 300, 300, 900, 300, 300)
    functions: int = 10
    minibatches: int = 40
    batch: int = 32
    pool: int = 400
    test_pool: int = 1000
    milestones: tuple[int, ...] = (1500, 2500, 3500)

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("functions", "minibatches", "batch", "pool", "test_pool")
        self.require_at_most(1000, "functions")
        if list(self.milestones) != sorted(set(self.milestones)) or min(self.milestones, default=1) < 1:
            raise ConfigError(f"milestones must be positive and increasing, not {self.milestones}")
        self.require_at_most(10**7, "pool", "test_pool")

    def report_options(self) -> ReportOptions:
        return replace(super().report_options(), headline=("loss",), loss_unit="squared error")

    def schedule(self, part: str, rate: float) -> float | optax.Schedule:
        if part != "start" or not self.milestones or self.as_released:
            return rate
        return optax.piecewise_constant_schedule(rate, dict.fromkeys(self.milestones, 0.3))

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(range(1, self.functions + 1)) if self.order == "continual" else (self.functions,)

    def network(self, plastic: int, data: ImageSet) -> EncoderMLP:
        del data
        sizes = (self.functions + 1, *self.sizes)
        frozen = max(0, len(sizes) - plastic)
        with config_errors():
            encoder = DenseEncoder(sizes[: frozen + 1]) if frozen else NoEncoder(sizes[:1])
            return EncoderMLP(encoder, (*sizes[frozen + 1 :], 1), MeanSquaredError())

    def training_task(self, data: ImageSet) -> Sinusoids:
        del data
        return self._task(self.functions, self.batch, self.order, pool=self.pool, pool_index=0)

    def test_task(self, data: ImageSet, load: Load, parts: int, order: Order) -> Sinusoids:
        del data, load
        return self._task(parts, 100, order, pool=self.test_pool, pool_index=1)

    def search_task(self, data: ImageSet, parts: int, order: Order) -> Sinusoids:
        del data
        return self._task(parts, 100, order, pool=self.test_pool, pool_index=2)

    def _task(self, functions: int, queries: int, order: Order, **pool: int) -> Sinusoids:
        with config_errors():
            return Sinusoids(
                functions, self.minibatches, self.batch, queries, order=order, slots=self.functions, **pool
            )


@dataclass(frozen=True)
class RegressionIid(AbstractRegression):
    """Minibatches of all functions come mixed."""

    name = "lindsey2020/regression-iid"
    title = "Ten sinusoids at once, learned online by learned feedback and Oja's rule"
    order = "iid"


@dataclass(frozen=True)
class RegressionContinual(AbstractRegression):
    """One function comes after the other."""

    name = "lindsey2020/regression-continual"
    title = "Ten sinusoids one after the other, learned by learned feedback and Oja's rule"
    order = "continual"
