"""The estimators of ``metaplax bench``, with their ratios to an eager PyTorch loop and to the floor."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import jax
from rich.text import Text

from benchmarks import HAS_TORCH
from benchmarks.floor import bandwidth, product_bytes
from metaplax.cli.bench import BenchArguments, Case, Cost, cost_table, measure_all, with_status
from metaplax.cli.console import show, to_json
from metaplax.cli.parsing import parse
from metaplax.estimators import Reversible


@dataclass(frozen=True)
class Comparison:
    """What was measured in one run.

    Attributes:
        case: what was timed.
        costs: one per estimator and number of episodes.
        pytorch: processor and wall seconds of the PyTorch loop as the equations read, and with merged terms; ``None``
            without PyTorch.
        bytes_per_second: speed of matrix-vector products with the largest matrix.
        floor_seconds: time to read, at that speed, what the products of one exact gradient must read.
    """

    case: Case
    costs: list[Cost]
    pytorch: dict[str, dict[str, float]] | None
    bytes_per_second: float
    floor_seconds: float

    def rows(self) -> list[dict[str, Any]]:
        """One row per cost, with its ratios to the PyTorch loop and to the floor."""
        return [
            {
                **asdict(cost),
                "pytorch_ratio": self.pytorch and self.pytorch["as_written"]["cpu_seconds"] / cost.cpu_seconds,
                "floor_ratio": cost.cpu_seconds / self.floor_seconds,
            }
            for cost in self.costs
        ]


def episode(arguments: list[str]) -> int:
    """``python -m benchmarks episode``"""
    asked = parse(BenchArguments, arguments, "python -m benchmarks episode")
    found = with_status(lambda note: compare(asked, note))
    if asked.json:
        summary = {name: value for name, value in asdict(found).items() if name != "costs"}
        print(to_json({**summary, "devices": len(jax.local_devices()), "rows": found.rows()}))
    else:
        _print(found)
    return 0


def compare(asked: BenchArguments, note: Callable[[str], None]) -> Comparison:
    """Measure the estimators, the PyTorch loop and the bandwidth, in this order, in one run."""
    costs, pytorch = measure_all(asked, note), None
    if HAS_TORCH:
        from benchmarks.rivals.online import eager_episode

        note("PyTorch")
        runs = {"as_written": eager_episode(asked.case), "merged": eager_episode(asked.case, merged=True)}
        pytorch = {
            name: {"cpu_seconds": cost.cpu_seconds, "wall_seconds": cost.wall_seconds} for name, cost in runs.items()
        }
    note("bandwidth")
    sizes = asked.case.sizes
    speed = bandwidth(*max(zip(sizes[1:], sizes[:-1], strict=True), key=lambda shape: shape[0] * shape[1]))
    return Comparison(asked.case, costs, pytorch, speed, floor_bytes(asked.case) / speed)


def floor_bytes(case: Case) -> int:
    """Bytes of matrices that the products of one exact gradient must read."""
    learner, key = case.learner(), jax.random.key(0)
    given = jax.eval_shape(case.task().sample, key)
    return product_bytes(lambda episode: Reversible().value_and_grad(learner, episode, key), given)


def _print(found: Comparison) -> None:
    rows = found.rows()
    ratios = {
        "x PyTorch": ["–" if row["pytorch_ratio"] is None else f"{row['pytorch_ratio']:.1f}" for row in rows],
        "x floor": [f"{row['floor_ratio']:.1f}" for row in rows],
    }
    table = cost_table(found.case, found.costs, ratios)
    eager = "not installed (pip install torch)"
    if found.pytorch:
        as_written, merged = (found.pytorch[name]["cpu_seconds"] for name in ("as_written", "merged"))
        eager = f"{as_written:.3f} CPU-s/episode ({merged:.3f} with merged terms)"
    speed = f"{found.bytes_per_second / 1e9:.0f} GB/s"
    table.caption = Text(f"{table.caption}\neager PyTorch: {eager}; floor: {found.floor_seconds:.3g} s, at {speed}")
    show(table)
