"""Processor time of one step within a compiled program, and of the same step in eager PyTorch."""

from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import tyro
from rich.table import Table

from benchmarks import HAS_TORCH
from benchmarks.cases import INNER_STEPS, STEPS, AbstractStep, Run
from metaplax.cli.bench import timed
from metaplax.cli.console import Console, Json, show, to_json
from metaplax.cli.parsing import UsageError, nearest, parse
from metaplax.training import restrict_to_cores


@dataclass(frozen=True)
class StepCost:
    """What one step takes.

    Attributes:
        name: name of the step.
        cpu_seconds: processor time, median of several runs.
        pytorch_cpu_seconds: the same in eager PyTorch; ``None`` without PyTorch.
    """

    name: str
    cpu_seconds: float
    pytorch_cpu_seconds: float | None

    @property
    def ratio(self) -> float | None:
        """How many times as much PyTorch takes."""
        return self.pytorch_cpu_seconds and self.pytorch_cpu_seconds / self.cpu_seconds


@dataclass(frozen=True)
class StepsArguments:
    """Processor time of inner steps or meta-steps, beside eager PyTorch."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = tuple(INNER_STEPS)
    """Which steps; by default the inner steps of energy learners. There are also regression-meta-step,
    omniglot-meta-step, fewshot-free, fewshot-nudged, fewshot-meta-update, reward-meta-step and
    reward-meta-step-checkpointed."""
    steps: int = 50
    """Inner steps per run; meta-steps are taken one by one."""
    repeats: int = 3
    """Timed runs per measurement."""
    json: Json = False


def steps(arguments: list[str]) -> int:
    """``python -m benchmarks steps [NAME ...]``"""
    asked = parse(StepsArguments, arguments, "python -m benchmarks steps")
    for name in asked.names:
        if name not in STEPS:
            raise UsageError(f"there is no step {name!r}: {nearest(name, STEPS)}")
    if min(asked.steps, asked.repeats) < 1:
        raise UsageError("steps and repeats must be at least 1")
    restrict_to_cores(1)
    with Console(stderr=True).status("measuring"):
        costs = [step_cost(name, STEPS[name], asked.steps, asked.repeats) for name in asked.names]
    print(to_json([asdict(cost) for cost in costs])) if asked.json else show(_table(costs))
    return 0


def step_cost(name: str, case: AbstractStep, steps: int = 50, repeats: int = 3) -> StepCost:
    """Cost of a step within a compiled program, and in eager PyTorch right after that.

    Args:
        name: name of the step.
        case: the step.
        steps: inner steps per run.
        repeats: runs that are timed, after one that is not.
    """
    taken = case.per_run(steps)
    ours = _cpu_seconds(case.compiled(steps), repeats) / taken / case.copies
    if not HAS_TORCH:
        return StepCost(name, ours, None)
    from benchmarks.rivals import RIVALS

    return StepCost(name, ours, _cpu_seconds(RIVALS[type(case)](case, steps), repeats) / taken)


def _cpu_seconds(run: Run, repeats: int) -> float:
    """Median processor time of one run, after one that is not counted."""
    run()
    return float(np.median([timed(run)[0] for _ in range(repeats)]))


def _table(costs: list[StepCost]) -> Table:
    table = Table("step", "CPU-ms", "CPU-ms in PyTorch", "x PyTorch")
    for cost in costs:
        eager = cost.pytorch_cpu_seconds
        rest = ("not installed", "–") if eager is None else (f"{1e3 * eager:.1f}", f"{cost.ratio:.2f}")
        table.add_row(cost.name, f"{1e3 * cost.cpu_seconds:.1f}", *rest)
    return table
