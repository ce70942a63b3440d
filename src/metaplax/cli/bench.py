"""``metaplax bench``: processor time, memory and compile time of every meta-gradient estimator on one episode."""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.table import Table

from metaplax import data
from metaplax.cli.console import Console, Json, show, to_json
from metaplax.cli.parsing import UsageError, parse
from metaplax.cli.tables import grid
from metaplax.estimators import ESTIMATORS, AbstractEstimator, EstimatorName, EvolutionStrategies
from metaplax.experiments.shervani2023.online import check_sizes
from metaplax.feedback import RandomFixed, Symmetric
from metaplax.learners import OnlinePlasticity, PlasticLearner
from metaplax.networks import MLP
from metaplax.plasticity import rules
from metaplax.tasks import OnlineClassification
from metaplax.training import choose_layout, restrict_to_cores

RuleName = Literal["bp", "fa", "f_bio", "pool"]
LayoutName = Literal["auto", "vmap", "map"]
TimedName = EstimatorName | Literal["es"]
TIMED: dict[TimedName, Callable[[], AbstractEstimator]] = {
    **ESTIMATORS,
    "es": lambda: EvolutionStrategies(pairs=1, sd=1e-5),
}
"""Estimators that are timed; of evolution strategies one pair of perturbed episodes, which counts as one episode."""
MOST = 10**6
COLUMNS = ("estimator", "episodes", "CPU-s", "wall-s", "MB", "compile s")


@dataclass(frozen=True)
class Case:
    """The online learner and its episodes that are timed; by default those of Shervani-Tabar & Rosenbaum (2023)."""

    rule: RuleName = "f_bio"
    """The learning rule: backprop, feedback alignment, three terms or all ten."""
    sizes: tuple[int, ...] = (784, 170, 130, 100, 70, 47)
    """Neurons per layer, input first."""
    ways: tyro.conf.Suppress[int] = 5
    """Classes per episode."""
    shots: int = 50
    """Images per class; five times as many inner steps."""
    queries: tyro.conf.Suppress[int] = 10
    """Images per class to be scored on."""

    @property
    def steps(self) -> int:
        """Inner steps per episode."""
        return self.ways * self.shots

    def learner(self) -> PlasticLearner:
        """The learner, at the start of meta-training."""
        rule = {"bp": rules.gradient, "fa": rules.gradient, "f_bio": rules.f_bio, "pool": rules.pool}[self.rule]()
        return OnlinePlasticity(MLP(self.sizes), rule, Symmetric() if self.rule == "bp" else RandomFixed())

    def task(self) -> OnlineClassification:
        """Episodes of built-in characters."""
        return OnlineClassification(data.glyphs(), self.ways, self.shots, self.queries)


@dataclass(frozen=True)
class Cost:
    """What one launch of several episodes costs.

    Attributes:
        estimator: its class name.
        episodes: episodes per launch.
        cpu_seconds: processor time per episode, over all cores; median over launches.
        wall_seconds: time per episode; median over launches.
        temporary_bytes: memory of the launch besides its arguments and results, per device.
        compile_seconds: time to trace and compile, nothing cached.
    """

    estimator: str
    episodes: int
    cpu_seconds: float
    wall_seconds: float
    temporary_bytes: int
    compile_seconds: float


@dataclass(frozen=True)
class BenchArguments:
    """Time, memory and compilation of every meta-gradient estimator on one episode."""

    case: tyro.conf.OmitArgPrefixes[Case] = Case()
    """What is timed."""
    estimators: tuple[TimedName, ...] = tuple(TIMED)
    """Which estimators to measure; of evolution strategies (es) one pair of perturbed episodes."""
    episodes: tuple[int, ...] = (1, 4, 16)
    """Episodes per launch."""
    layout: LayoutName = "auto"
    """Episodes of a launch side by side (vmap), one after the other on every device (map), or what is faster here."""
    repeats: int = 9
    """Timed launches per measurement."""
    cores: int = 1
    """Processor cores to use."""
    json: Json = False


def bench(arguments: list[str]) -> None:
    """``metaplax bench``"""
    asked = parse(BenchArguments, arguments, "metaplax bench")
    costs = with_status(lambda note: measure_all(asked, note))
    if asked.json:
        rows = [asdict(cost) for cost in costs]
        print(to_json({"case": asdict(asked.case), "devices": len(jax.local_devices()), "rows": rows}))
    else:
        show(cost_table(asked.case, costs))


def with_status(function: Callable[[Callable[[str], None]], Any]) -> Any:
    """Call a function with a callback that shows on stderr what is being measured; returns its result."""
    errors = Console(stderr=True)
    with errors.status("measuring") as status:
        return function(status.update if errors.is_terminal else lambda text: print(text, file=sys.stderr, flush=True))


def measure_all(asked: BenchArguments, note: Callable[[str], None]) -> list[Cost]:
    """Costs of all estimators with all numbers of episodes per launch; ``note`` is told what is being measured.

    Raises:
        UsageError: a number is out of range, or there are not as many cores.
        IncompatibleError: the network does not suit the built-in characters.
    """
    case = asked.case
    for name, values in (("episodes", asked.episodes), ("repeats", (asked.repeats,)), ("shots", (case.shots,))):
        if not values or not 1 <= min(values) <= max(values) <= MOST:
            raise UsageError(f"{name} must be from 1 to {MOST}")
    try:
        check_sizes(case.sizes)
        restrict_to_cores(asked.cores)
    except ValueError as error:
        raise UsageError(str(error)) from error
    task, costs = case.task(), []
    case.learner().check(jax.eval_shape(task.sample, jax.random.key(0)), task.classes)
    for name in asked.estimators:
        for count in asked.episodes:
            note(f"{name}, {count} episodes per launch")
            costs.append(measure(case, TIMED[name](), count, asked.repeats, asked.layout))
    return costs


def measure(
    case: Case, estimator: AbstractEstimator, episodes: int = 1, repeats: int = 9, layout: LayoutName = "auto"
) -> Cost:
    """Cost of an estimator in steady state: compiled, and after one launch that is not counted."""
    learner, task, arrangement = case.learner(), case.task(), choose_layout(1, episodes, layout)

    def one(key):
        task_key, learner_key = jax.random.split(key)
        found = estimator.value_and_grad(learner, task.sample(task_key), learner_key)
        return found.loss, found.gradient

    def launch(tasks, step, state, key):
        del tasks, step, state
        return arrangement.episodes(one, jax.random.split(key, episodes))

    arguments = jnp.zeros(()), jnp.zeros(()), jnp.zeros(1)
    keys = jax.random.split(jax.random.key(0), repeats + 1)[:, None]
    began = time.perf_counter()
    run = jax.jit(arrangement.trials(launch)).lower(*arguments, keys[0]).compile()
    compile_seconds = time.perf_counter() - began
    jax.block_until_ready(run(*arguments, keys[-1]))
    cpu, wall = np.median([timed(run, *arguments, key) for key in keys[:-1]], axis=0) / episodes
    memory = run.memory_analysis()
    assert memory is not None
    name, size = type(estimator).__name__, int(memory.temp_size_in_bytes)
    return Cost(name, episodes, float(cpu), float(wall), size, compile_seconds)


def timed(run: Callable[..., Any], *arguments: Any) -> tuple[float, float]:
    """Processor and wall seconds of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    jax.block_until_ready(run(*arguments))
    return time.process_time() - cpu, time.perf_counter() - wall


def cost_table(case: Case, costs: list[Cost], further: dict[str, list[str]] | None = None) -> Table:
    """One row per cost; there may be further columns, by title, with one entry per cost."""
    devices = len(jax.local_devices())
    title = f"{case.rule}, {'-'.join(map(str, case.sizes))}, {case.steps} steps, {devices} device(s)"
    caption = "seconds per episode, in a launch of so many episodes; temporary memory of the launch"
    rows = []
    for n, cost in enumerate(costs):
        seconds = (f"{cost.cpu_seconds:.3g}", f"{cost.wall_seconds:.3g}")
        rest = (f"{cost.temporary_bytes / 1e6:.1f}", f"{cost.compile_seconds:.1f}")
        more = (column[n] for column in (further or {}).values())
        rows.append([cost.estimator, str(cost.episodes), *seconds, *rest, *more])
    return grid(*COLUMNS, *(further or {}), rows=rows, title=title, caption=caption)
