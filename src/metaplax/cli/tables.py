"""Tables on the terminal."""

from typing import Any

from benchmarks import Benchmark, StepCost
from rich.table import Table
from rich.text import Text

from metaplax.reports import Recorded


def experiments(found: list[dict[str, Any]]) -> Table:
    """Experiments by name."""
    table = Table("experiment", "what it shows", "source")
    for entry in found:
        table.add_row(entry["name"], entry["title"], entry["source"])
    return table


def results(recorded: Recorded) -> Table:
    """The most telling quantities of every rule, with intervals, beside what was published."""
    first = next(iter(recorded.quantities.values()))
    name, *others = recorded.headline
    published = any(quantity["published"] is not None for quantity in recorded.quantities.values())
    titles = ("rule", name, "98 % interval", *(("published",) if published else ()), *others)
    table = Table(*(title.replace("_", " ") for title in titles), title=Text(recorded.title))
    table.caption = Text(f"last {recorded.averaged} steps, mean over {first['n']} trials; data: {recorded.data}")
    for rule, label in recorded.labels.items():
        found, *rest = (recorded.quantities.get(f"{name}.{rule}") for name in recorded.headline)
        interval = f"{number(found['ci_low'])} to {number(found['ci_high'])}" if found else "–"
        means = [number(found[key]) if found else "–" for key in ("mean", "published")]
        row = [means[0], interval, *(means[1:] if published else ()), *(number(o["mean"]) if o else "–" for o in rest)]
        table.add_row(Text(label), *row)
    return table


def comparison(rows: list[dict[str, Any]]) -> Table:
    """Quantities of two runs."""
    table = Table("quantity", "first", "second", "difference", "intervals")
    for row in rows:
        ends = [f"{number(row[run]['mean'])} [{number(row[run]['low'])}, {number(row[run]['high'])}]" for run in RUNS]
        table.add_row(row["name"], *ends, number(row["difference"]), "overlap" if row["overlap"] else "apart")
    return table


RUNS = ("first", "second")


def data_sets(states: list[dict[str, Any]]) -> Table:
    """Data sets and where they are."""
    table = Table("data set", "what", "where", "state")
    for state in states:
        table.add_row(
            *(Text(state[key]) for key in ("name", "summary", "where")), Text(state["problem"] or state["state"])
        )
    return table


def benchmark(found: Benchmark) -> Table:
    """Costs of every estimator, with ratios to PyTorch and to the floor."""
    case = found.case
    title = f"{case.rule}, {'-'.join(map(str, case.sizes))}, {case.steps} steps, {found.devices} device(s)"
    columns = ("estimator", "episodes", "CPU-s/episode", "wall-s/episode", "temporary MB", "compile s")
    table = Table(*columns, "x PyTorch", "x floor", title=Text(title))
    for row in found.rows():
        seconds = (f"{row[name]:.4f}" for name in ("cpu_seconds", "wall_seconds"))
        ratio = "–" if row["pytorch_ratio"] is None else f"{row['pytorch_ratio']:.1f}"
        memory, compiling = f"{row['temporary_bytes'] / 1e6:.1f}", f"{row['compile_seconds']:.1f}"
        table.add_row(
            row["estimator"], str(row["episodes"]), *seconds, memory, compiling, ratio, f"{row['floor_ratio']:.1f}"
        )
    eager = "not installed (pip install torch)"
    if found.eager:
        eager = f"{found.eager[0].cpu_seconds:.3f} CPU-s/episode ({found.eager[1].cpu_seconds:.3f} with merged terms)"
    speed = f"{found.bytes_per_second / 1e9:.0f} GB/s"
    table.caption = Text(f"eager PyTorch: {eager}; floor: {found.floor_seconds:.4f} s, at {speed}")
    return table


def step_costs(costs: list[StepCost]) -> Table:
    """CPU time of steps."""
    table = Table("step", "CPU-ms", "CPU-ms in PyTorch", "x PyTorch")
    for cost in costs:
        eager = cost.pytorch_cpu_seconds
        rest = ("not installed", "–") if eager is None else (f"{1e3 * eager:.1f}", f"{cost.ratio:.2f}")
        table.add_row(cost.name, f"{1e3 * cost.cpu_seconds:.1f}", *rest)
    return table


def number(value: float | None) -> str:
    """Four significant digits, or a dash."""
    return "–" if value is None else f"{value:.4g}"
