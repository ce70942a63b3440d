"""What each verb does."""

import json
import sys
from dataclasses import asdict, dataclass, field, make_dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Literal

import tyro
from benchmarks import FEW_SHOT_STEPS, META_STEPS, STEPS, Case, RuleName, benchmark, step_cost
from rich.console import Console

from metaplax import data as data_sets
from metaplax import experiments, reports
from metaplax.cli import tables
from metaplax.cli.parsing import UsageError, nearest, parse
from metaplax.estimators import ESTIMATORS, EstimatorName
from metaplax.experiments import EstimatorComparison, Evaluation, RunOptions
from metaplax.runs import Interruption, RunFolder, default_progress, use_compilation_cache
from metaplax.training import restrict_to_cores

Folder = Annotated[Path, tyro.conf.Positional]


@dataclass(frozen=True)
class ListArguments:
    """Experiments, with what they show."""

    json: bool = False
    """Print for a program to read."""


def list_experiments(arguments: list[str]) -> int:
    """``metaplax list``"""
    asked = parse(ListArguments, arguments, "metaplax list")
    found = [
        {"name": name, "title": kind.title, "source": kind.source, "presets": sorted(kind.presets)}
        for name, kind in experiments.EXPERIMENTS.items()
    ]
    print(to_json(found)) if asked.json else Console().print(tables.experiments(found))
    return 0


def run(arguments: list[str]) -> int:
    """``metaplax run EXPERIMENT ...``"""
    if not arguments or arguments[0].startswith("-"):
        names = ", ".join(experiments.EXPERIMENTS)
        if arguments and arguments[0] in ("-h", "--help"):
            print(f"usage: metaplax run EXPERIMENT [--FIELD ...]\n\nEXPERIMENT is one of {names}")
            return 0
        raise UsageError(f"which experiment? There are {names}")
    name, rest = arguments[0], arguments[1:]
    preset = _preset(rest)
    start = experiments.preset(name, preset)
    kind = make_dataclass(
        "Run",
        [
            ("config", tyro.conf.OmitArgPrefixes[type(start)], field(default=start)),
            ("options", tyro.conf.OmitArgPrefixes[RunOptions], field(default=RunOptions(preset=preset))),
            ("json", bool, field(default=False)),
        ],
        frozen=True,
    )
    kind.__doc__ = type(start).__doc__
    asked = parse(kind, rest, f"metaplax run {name}")
    use_compilation_cache()
    with Interruption().listening() as interruption:
        folder = experiments.run(asked.config, asked.options, default_progress, interruption)
    return _show(folder, asked.json)


def _preset(arguments: list[str]) -> str:
    """The preset must be known before the fields are, since it sets their defaults; the last one counts."""
    found = RunOptions.preset
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        if argument == "--preset" and following:
            found = following
        elif argument.startswith("--preset="):
            found = argument.removeprefix("--preset=")
    return found


def compare_estimators(arguments: list[str]) -> int:
    """``metaplax compare-estimators EXPERIMENT [--FIELD ...]``"""
    name = EstimatorComparison.name
    if not arguments or arguments[0].startswith("-"):
        return run([name, *arguments])
    return run([name, "--experiment", *arguments])


@dataclass(frozen=True)
class ResumeArguments:
    """Go on with a run that was stopped or killed."""

    dir: Folder
    data_dir: Path | None = None
    """Folder to look for data in, if it has moved."""
    json: bool = False
    """Print the result for a program to read."""


def resume(arguments: list[str]) -> int:
    """``metaplax resume DIR``"""
    asked = parse(ResumeArguments, arguments, "metaplax resume")
    use_compilation_cache()
    with Interruption().listening() as interruption:
        folder = experiments.resume(asked.dir, asked.data_dir, default_progress, interruption)
    return _show(folder, asked.json)


@dataclass(frozen=True)
class EvaluateArguments:
    """Score what a finished run has meta-learned on longer streams; the scores are added to the run."""

    dir: Folder
    evaluation: tyro.conf.OmitArgPrefixes[Evaluation] = field(default_factory=Evaluation)
    data_dir: Path | None = None
    """Folder to look for data in, if it has moved."""
    json: bool = False
    """Print the result for a program to read."""


def evaluate(arguments: list[str]) -> int:
    """``metaplax evaluate DIR --classes N --order class|iid``"""
    asked = parse(EvaluateArguments, arguments, "metaplax evaluate")
    use_compilation_cache()
    with Interruption().listening() as interruption:
        folder = experiments.evaluate(asked.dir, asked.evaluation, asked.data_dir, default_progress, interruption)
    return _show(folder, asked.json)


def _show(folder: RunFolder, as_json: bool) -> int:
    report = reports.write([folder.path], folder.path / "report.html")
    if as_json:
        print(to_json({**folder.read_json("result.json"), "run": str(folder.path), "report": str(report)}))
        return 0
    recorded = reports.read(folder.path)
    console = Console()
    console.print(tables.results(recorded))
    for equation in recorded.equations():
        console.print(equation, highlight=False, markup=False, soft_wrap=True)
    for finding in recorded.findings:
        console.print(f"finding: {finding}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"run folder  {folder.path}\nreport      {report}", highlight=False, markup=False, soft_wrap=True)
    return 0


@dataclass(frozen=True)
class ReportArguments:
    """Write the one-file HTML report of one or more runs."""

    dirs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    out: Path | None = None
    """File to write; by default report.html in the run folder, or here if there are several."""


def report(arguments: list[str]) -> int:
    """``metaplax report DIR ...``"""
    asked = parse(ReportArguments, arguments, "metaplax report")
    if not asked.dirs:
        raise UsageError("which run folder? `metaplax report DIR ...`")
    target = asked.out or (asked.dirs[0] / "report.html" if len(asked.dirs) == 1 else Path("report.html"))
    print(reports.write(list(asked.dirs), target))
    return 0


@dataclass(frozen=True)
class CompareArguments:
    """Two runs side by side."""

    first: Folder
    second: Folder
    json: bool = False
    """Print for a program to read."""


def compare(arguments: list[str]) -> int:
    """``metaplax compare DIR DIR``"""
    asked = parse(CompareArguments, arguments, "metaplax compare")
    rows = reports.compare(reports.read(asked.first), reports.read(asked.second))
    print(to_json(rows)) if asked.json else Console().print(tables.comparison(rows))
    return 0


def _asked_or_there(asked: "DataArguments") -> tuple[str, ...]:
    """The data sets asked for; if none was, all of them, or to be verified those that are on disk."""
    everything = tuple(data_sets.CATALOG)
    if asked.names or asked.what != "verify":
        return asked.names or everything
    states = data_sets.inspect(everything, asked.data_dir)
    return tuple(state["name"] for state in states if not state["state"].startswith("not here"))


@dataclass(frozen=True)
class DataArguments:
    """Data sets: what there is, download, check."""

    what: Annotated[Literal["list", "fetch", "verify"], tyro.conf.Positional]
    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    data_dir: Path | None = None
    """Folder to look in before the cache; METAPLAX_DATA does the same."""
    json: bool = False
    """Print for a program to read."""


def data(arguments: list[str]) -> int:
    """``metaplax data list|fetch|verify [NAME ...]``"""
    asked = parse(DataArguments, arguments, "metaplax data")
    for name in asked.names:
        if name not in data_sets.CATALOG:
            raise UsageError(f"there is no data set {name!r}: {nearest(name, data_sets.CATALOG)}")
    if asked.what == "fetch" and not asked.names:
        raise UsageError("which data set? `metaplax data fetch NAME ...`")
    if asked.what == "fetch":
        for name in asked.names:
            data_sets.fetch_all(name, asked.data_dir, progress=not asked.json)
    states = data_sets.inspect(_asked_or_there(asked), asked.data_dir, parse=asked.what == "verify")
    print(to_json(states)) if asked.json else Console().print(tables.data_sets(states))
    return 1 if any(state["problem"] for state in states) else 0


@dataclass(frozen=True)
class BenchArguments:
    """Time, memory and compilation of every meta-gradient estimator, beside PyTorch and the floor."""

    rule: RuleName = "f_bio"
    """What is learned by: backprop, feedback alignment, three terms or all ten."""
    sizes: tuple[int, ...] = Case.sizes
    """Neurons per layer, input first."""
    shots: int = Case.shots
    """Images per class; five times as many inner steps."""
    estimators: tuple[EstimatorName, ...] = tuple(ESTIMATORS)
    """Which estimators to measure."""
    episodes: tuple[int, ...] = (1, 4, 16)
    """Episodes per launch."""
    repeats: int = 9
    """Timed launches per measurement."""
    cores: int = 1
    """Processor cores to use."""
    json: bool = False
    """Print for a program to read."""


def bench(arguments: list[str]) -> int:
    """``metaplax bench``"""
    asked = parse(BenchArguments, arguments, "metaplax bench")
    for name, values in (("episodes", asked.episodes), ("repeats", (asked.repeats,)), ("shots", (asked.shots,))):
        if not values or min(values) < 1:
            raise UsageError(f"{name} must be at least 1")
    if len(asked.sizes) < 2 or min(asked.sizes) < 1:
        raise UsageError(f"sizes needs at least two layers of at least one neuron each, not {asked.sizes}")
    case = Case(asked.rule, asked.sizes, shots=asked.shots)
    try:
        restrict_to_cores(asked.cores)
    except ValueError as error:
        raise UsageError(str(error)) from error
    errors = Console(stderr=True)
    with errors.status("measuring") as status:
        note = status.update if errors.is_terminal else lambda text: print(text, file=sys.stderr, flush=True)
        found = benchmark(case, asked.estimators, asked.episodes, asked.repeats, note)
    print(to_json(found.summary())) if asked.json else Console().print(tables.benchmark(found))
    return 0


@dataclass(frozen=True)
class BenchStepsArguments:
    """CPU time of one inner step of experiments whose inner loop settles, or of one meta-step, beside eager PyTorch."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = tuple(STEPS)
    """Which steps; by default those of energies. There are also {regression,omniglot}-meta-step, fewshot-free,
    fewshot-nudged and fewshot-meta-update."""
    steps: int = 50
    """Inner steps per run; meta-steps are taken one by one."""
    repeats: int = 3
    """Timed runs per measurement."""
    json: bool = False
    """Print for a program to read."""


def bench_steps(arguments: list[str]) -> int:
    """``metaplax bench-steps [NAME ...]``"""
    asked = parse(BenchStepsArguments, arguments, "metaplax bench-steps")
    cases = {**STEPS, **META_STEPS, **FEW_SHOT_STEPS}
    for name in asked.names:
        if name not in cases:
            raise UsageError(f"there is no step {name!r}: {nearest(name, cases)}")
    if min(asked.steps, asked.repeats) < 1:
        raise UsageError("steps and repeats must be at least 1")
    restrict_to_cores(1)
    with Console(stderr=True).status("measuring"):
        costs = [step_cost(name, cases[name], asked.steps, asked.repeats) for name in asked.names]
    print(to_json([asdict(cost) for cost in costs])) if asked.json else Console().print(tables.step_costs(costs))
    return 0


def to_json(value: object) -> str:
    """JSON for a program to read."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
