"""The whole benchmark: estimators times episodes per launch, the PyTorch loop, and the floor."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax

from benchmarks.case import Case
from benchmarks.floor import bandwidth, product_bytes
from benchmarks.measure import Cost, measure
from benchmarks.pytorch import EagerCost, eager_pytorch
from metaplax.estimators import ESTIMATORS, EstimatorName, Reversible


@dataclass(frozen=True)
class Benchmark:
    """What was measured in one run.

    Attributes:
        case: what was timed.
        devices: how many devices took part.
        costs: one per estimator and number of episodes.
        eager: the PyTorch loop as the equations read, and with merged terms; nothing without PyTorch.
        bytes_per_second: speed of matrix-vector products with the largest matrix.
        floor_seconds: time to read, at that speed, what the products of one exact gradient must read.
    """

    case: Case
    devices: int
    costs: tuple[Cost, ...]
    eager: tuple[EagerCost, EagerCost] | None
    bytes_per_second: float
    floor_seconds: float

    def rows(self) -> list[dict[str, Any]]:
        """One row per estimator and number of episodes, with its ratios to the PyTorch loop and to the floor."""
        return [
            {
                **asdict(cost),
                "pytorch_ratio": self.eager and self.eager[0].cpu_seconds / cost.cpu_seconds,
                "floor_ratio": cost.cpu_seconds / self.floor_seconds,
            }
            for cost in self.costs
        ]

    def summary(self) -> dict[str, Any]:
        """Everything, for a program to read."""
        names = ("as_written", "merged")
        eager = self.eager and {
            name: {"cpu_seconds": cost.cpu_seconds, "wall_seconds": cost.wall_seconds}
            for name, cost in zip(names, self.eager, strict=True)
        }
        return {
            "case": asdict(self.case),
            "devices": self.devices,
            "rows": self.rows(),
            "pytorch": eager,
            "bytes_per_second": self.bytes_per_second,
            "floor_seconds": self.floor_seconds,
        }


def benchmark(
    case: Case,
    estimators: Sequence[EstimatorName] = tuple(ESTIMATORS),
    episodes: Sequence[int] = (1, 4, 16),
    repeats: int = 9,
    note: Callable[[str], None] = lambda text: None,
) -> Benchmark:
    """Measure everything in one run.

    Args:
        case: what is learned by which rule.
        estimators: their short names.
        episodes: episodes per launch.
        repeats: timed launches per measurement.
        note: is told what is being measured.

    Raises:
        IncompatibleError: the network does not suit the built-in characters.
    """
    task, costs = case.task(), []
    case.learner().check(jax.eval_shape(task.sample, jax.random.key(0)), task.classes)
    for name in estimators:
        for count in episodes:
            note(f"{name}, {count} episodes per launch")
            costs.append(measure(case, ESTIMATORS[name](), count, repeats))
    note("PyTorch")
    try:
        eager = eager_pytorch(case), eager_pytorch(case, merged=True)
    except ImportError:
        eager = None
    note("bandwidth")
    speed = bandwidth(*_largest(case.sizes))
    return Benchmark(case, len(jax.local_devices()), tuple(costs), eager, speed, _floor_bytes(case) / speed)


def _floor_bytes(case: Case) -> int:
    learner, key = case.learner(), jax.random.key(0)
    episode = jax.eval_shape(case.task().sample, key)
    return product_bytes(lambda episode: Reversible().value_and_grad(learner, episode, key), episode)


def _largest(sizes: tuple[int, ...]) -> tuple[int, int]:
    return max(zip(sizes[1:], sizes[:-1], strict=True), key=lambda shape: shape[0] * shape[1])
