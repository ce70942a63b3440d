"""The verbs of the command line; the options of a verb are the parameters of its function."""

from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from metaplax import data as data_sets
from metaplax import experiments, reports
from metaplax.cli import tables
from metaplax.cli.bench import bench
from metaplax.cli.console import Json, answer, show, to_json
from metaplax.cli.inferring import infer_rule
from metaplax.cli.named import about_experiment, named
from metaplax.cli.parsing import UsageError, call, nearest, parse
from metaplax.cli.rules import rules
from metaplax.cli.sweeping import sweep, work
from metaplax.experiments import ConfigError, EstimatorComparison, Evaluation, RunOptions
from metaplax.experiments.runner import Together
from metaplax.runs import Interruption, NoProgress, RunFolder, default_progress, join_processes, use_compilation_cache
from metaplax.runs.hosts import is_first
from metaplax.runs.sweep_folder import SweepFolder
from metaplax.runs.tracking import Tracked
from metaplax.training import use_all_cores

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(help="run folder")]
OtherFolder = Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(help="another run folder")]
DataDir = Annotated[Path | None, tyro.conf.arg(help="folder to look for data in, if it has moved")]
EVALUATION = Evaluation()


@dataclass(frozen=True)
class Processes:
    """One run of several processes, on one machine or many, all started with the same options.

    Attributes:
        distributed: whether this is one of them. SLURM and Open MPI tell it the rest; elsewhere the three following
            options do, or the environment variables JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID.
        coordinator: address and port of process 0, such as 10.0.0.1:9911.
        processes: how many there are.
        process: the number of this one; process 0 writes the run folder.
    """

    distributed: bool = False
    coordinator: str = ""
    processes: int = 0
    process: int = -1

    def join(self) -> None:
        """Become one of them, if that is asked for."""
        if self.distributed:
            use_all_cores()
            join_processes(self.coordinator, self.processes, self.process)
        elif (self.coordinator, self.processes, self.process) != ("", 0, -1):
            raise UsageError("--coordinator, --processes and --process are about a run of several: add --distributed")


ALONE = Processes()


def list_experiments(*, json: Json = False) -> None:
    """List all experiments: built in, or registered by installed packages."""
    found = []
    for name in experiments.names():
        entry = {"name": name, "title": "", "source": "", "data": "", "presets": [], "problem": None}
        entry["seconds"] = experiments.preset_times(name)
        try:
            kind = experiments.lookup(name)
            entry |= {"title": kind.title, "source": kind.source, "data": kind.data, "presets": sorted(kind.presets)}
        except ConfigError as error:
            entry["problem"] = str(error)
        found.append(entry)
    answer(found, tables.experiments, as_json=json)


def run(arguments: list[str]) -> None:
    """``metaplax run EXPERIMENT ...``, or ``metaplax run FILE.py:CLASS ...``; options depend on the experiment."""
    if (asked := configured(arguments)) is None:
        return
    asked.several.join()
    _conduct(partial(experiments.run, asked.experiment, asked.run), asked.json)


def configured(arguments: list[str]) -> Any:
    """What ``metaplax run`` is asked for: ``experiment``, ``run``, ``several`` and ``json``; ``None`` if for help.

    Raises:
        UsageError: an option is unknown or has a value of the wrong type.
        ConfigError: there is no such experiment or preset, or the configuration is refused.
    """
    if (found := named(arguments, "run")) is None:
        return None
    name, start, preset = found
    fields = [
        ("experiment", tyro.conf.OmitArgPrefixes[type(start)], field(default=start)),
        ("run", tyro.conf.OmitArgPrefixes[RunOptions], field(default=RunOptions(preset=preset))),
        ("several", tyro.conf.OmitArgPrefixes[Processes], field(default=ALONE)),
        ("json", Json, field(default=False)),
    ]
    kind, about = make_dataclass("Run", fields, frozen=True), about_experiment(start)
    return parse(kind, arguments[1:], f"metaplax run {name}", about)


def compare_estimators(arguments: list[str]) -> None:
    """``metaplax compare-estimators EXPERIMENT [--FIELD ...]``"""
    is_named = arguments and not arguments[0].startswith("-")
    run([EstimatorComparison.name, *(["--experiment"] if is_named else []), *arguments])


def resume(
    dir: Folder,
    *,
    data_dir: DataDir = None,
    more_meta_steps: int = 0,
    together: Together = "auto",
    track: Tracked = "nothing",
    json: Json = False,
    several: tyro.conf.OmitArgPrefixes[Processes] = ALONE,
) -> None:
    """Go on with a run that was stopped or killed. An experiment of your own is imported from its file again.

    Args:
        dir: run folder
        more_meta_steps: meta-steps to take in addition to those that the run was started with
        together: whether arms that differ in their numbers only share a launch; auto for on accelerators only
        track: tracker that is told what the run records
    """
    several.join()
    options = {"more_meta_steps": more_meta_steps, "together": together, "track": track}
    _conduct(partial(experiments.resume, dir, data_dir, **options), json)


def evaluate(
    dir: Folder,
    *,
    data_dir: DataDir = None,
    json: Json = False,
    evaluation: tyro.conf.OmitArgPrefixes[Evaluation] = EVALUATION,
) -> None:
    """Score what a finished run has meta-learned on longer streams; the scores are added to the run."""
    _conduct(partial(experiments.evaluate, dir, evaluation, data_dir), json)


def _conduct(act: Callable[..., RunFolder], as_json: bool) -> None:
    """Conduct an experiment, write its report and print its results."""
    use_compilation_cache()
    with Interruption().listening() as interruption:
        shown = default_progress if is_first() else lambda title: NoProgress()
        folder = act(progress=shown, interruption=interruption)
    if not is_first():
        return
    recorded = reports.read(folder.path)
    report = reports.write([recorded], folder.path / "report.html")
    if as_json:
        print(to_json({**recorded.result, "run": str(folder.path), "report": str(report)}))
        return
    show(tables.results(recorded))
    findings = [f"finding: {finding}" for finding in (*reports.verdicts(recorded), *recorded.findings)]
    print(*recorded.equations(), *findings, f"run folder  {folder.path}", f"report      {report}", sep="\n")


def report(dirs: Annotated[tuple[Path, ...], tyro.conf.Positional], *, out: Path | None = None) -> None:
    """Write the one-file HTML report of one or more runs, or of a sweep.

    Trials of runs that differ in their seeds only are pooled.

    Args:
        dirs: run folders, or one sweep folder
        out: file to write; by default report.html in the folder, or in the current folder for several runs
    """
    if not dirs:
        raise UsageError("which run folder? `metaplax report DIR ...`")
    target = out or (dirs[0] if len(dirs) == 1 else Path()) / "report.html"
    sweeps = [path for path in dirs if SweepFolder.is_at(path)]
    if sweeps and len(dirs) > 1:
        raise UsageError(f"{sweeps[0]} is a sweep folder, which has a report of its own: name it alone")
    print(reports.write_sweep(sweeps[0], target) if sweeps else reports.write(dirs, target))


def compare(first: Folder, second: OtherFolder = None, *, json: Json = False) -> None:
    """Compare the quantities of two runs, or the settings of one sweep.

    Runs are compared trial by trial if they share seed and data, else as independent groups.
    """
    for one in filter(SweepFolder.is_at, (first, second or first)):
        if second is not None:
            raise UsageError(f"{one} is a sweep folder, whose settings are compared with each other: name it alone")
        return _compare_settings(reports.read_sweep(one), json)
    if second is None:
        raise UsageError("compare with what? `metaplax compare DIR DIR`, or one sweep folder")
    answer(reports.compare(reports.read(first), reports.read(second)), tables.comparison, as_json=json)
    return None


def _compare_settings(swept: reports.Swept, as_json: bool) -> None:
    """Print the settings of a sweep, study by study, and which one is the best."""
    studies = swept.any.labels if swept.any else {}
    if as_json:
        print(to_json(swept.as_json()))
        return
    for study in studies:
        show(tables.sweep(swept, study))
    print(*(f"finding: {verdict}" for verdict in swept.verdicts()), sep="\n")


def data(
    what: Annotated[Literal["list", "fetch", "verify"], tyro.conf.Positional],
    names: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
    *,
    data_dir: Path | None = None,
    json: Json = False,
) -> int:
    """List data sets, download them, or check their files.

    Args:
        what: list all data sets, download some, or check those that are on the disk
        names: names of data sets
        data_dir: folder to look in before the cache; the environment variable METAPLAX_DATA does the same
    """
    for name in names:
        if name not in data_sets.CATALOG:
            raise UsageError(f"there is no data set {name!r}: {nearest(name, data_sets.CATALOG)}")
    if what == "fetch" and not names:
        raise UsageError("which data set? `metaplax data fetch NAME ...`")
    for name in names if what == "fetch" else ():
        data_sets.fetch_all(name, data_dir, progress=not json)
    shown = names or tuple(data_sets.CATALOG)
    if what == "verify" and not names:
        states = data_sets.inspect(shown, data_dir)
        shown = [state["name"] for state in states if not state["state"].startswith("not here")]
    states = data_sets.inspect(shown, data_dir, parse=what == "verify")
    answer(states, tables.data_sets, as_json=json)
    return 1 if any(state["problem"] for state in states) else 0


WITH_FIXED_OPTIONS = {
    "list": list_experiments, "resume": resume, "evaluate": evaluate, "report": report, "compare": compare,
    "data": data, "infer": infer_rule, "rules": rules,
}  # fmt: skip
VERBS: dict[str, Callable[[list[str]], int | None]] = {
    **{name: partial(call, function, f"metaplax {name}") for name, function in WITH_FIXED_OPTIONS.items()},
    **{"run": run, "bench": bench, "compare-estimators": compare_estimators},
    **{"sweep": sweep, "sweep-worker": work},
}
"""Do what they say with the arguments that follow the verb, and return the exit code, if it is not 0."""
