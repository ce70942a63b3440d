"""The verbs of the command line, but for ``bench``."""

import json
from dataclasses import dataclass, field, make_dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Literal

import tyro

from metaplax import data as data_sets
from metaplax import experiments, reports
from metaplax.cli import tables
from metaplax.cli.console import show
from metaplax.cli.parsing import UsageError, nearest, parse
from metaplax.experiments import ConfigError, EstimatorComparison, Evaluation, RunOptions
from metaplax.runs import Interruption, RunFolder, default_progress, use_compilation_cache

Folder = Annotated[Path, tyro.conf.Positional]
Json = Annotated[bool, tyro.conf.arg(help="print JSON for a program to read")]


@dataclass(frozen=True, kw_only=True)
class ListArguments:
    """List all experiments: built in, or registered by installed packages."""

    json: Json = False


def list_experiments(arguments: list[str]) -> int:
    """``metaplax list``"""
    asked = parse(ListArguments, arguments, "metaplax list")
    found = []
    for name in experiments.names():
        entry = {"name": name, "title": "", "source": "", "presets": [], "problem": None}
        try:
            kind = experiments.lookup(name)
            entry |= {"title": kind.title, "source": kind.source, "presets": sorted(kind.presets)}
        except ConfigError as error:
            entry["problem"] = str(error)
        found.append(entry)
    print(to_json(found)) if asked.json else show(tables.experiments(found))
    return 0


def run(arguments: list[str]) -> int:
    """``metaplax run EXPERIMENT ...``, or ``metaplax run FILE.py:CLASS ...``"""
    if not arguments or arguments[0].startswith("-"):
        names = ", ".join(experiments.names())
        if arguments and arguments[0] in ("-h", "--help"):
            print(f"usage: metaplax run EXPERIMENT [--FIELD ...]\n\nEXPERIMENT is FILE.py:CLASS, or one of {names}")
            return 0
        raise UsageError(f"which experiment? There are {names}")
    name, rest = arguments[0], arguments[1:]
    kind = experiments.lookup(name)
    preset = _preset(rest) or ("quick" if "quick" in kind.presets else next(iter(kind.presets), "default"))
    start = experiments.configure(kind, preset)
    fields = [
        ("experiment", tyro.conf.OmitArgPrefixes[type(start)], field(default=start)),
        ("run", tyro.conf.OmitArgPrefixes[RunOptions], field(default=RunOptions(preset=preset))),
        ("json", Json, field(default=False)),
    ]
    asked = parse(make_dataclass("Run", fields, frozen=True), rest, f"metaplax run {name}")
    use_compilation_cache()
    with Interruption().listening() as interruption:
        folder = experiments.run(asked.experiment, asked.run, default_progress, interruption)
    return _show(folder, asked.json)


def _preset(arguments: list[str]) -> str:
    """The last preset among the arguments, or nothing; it is needed first, since it sets the defaults of the fields."""
    found = ""
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        if argument == "--preset" and following:
            found = following
        elif argument.startswith("--preset="):
            found = argument.removeprefix("--preset=")
    return found


def compare_estimators(arguments: list[str]) -> int:
    """``metaplax compare-estimators EXPERIMENT [--FIELD ...]``"""
    is_named = arguments and not arguments[0].startswith("-")
    return run([EstimatorComparison.name, *(["--experiment"] if is_named else []), *arguments])


@dataclass(frozen=True, kw_only=True)
class AbstractFolderArguments:
    """Options of verbs that go on with a run folder."""

    dir: Folder
    """run folder"""
    data_dir: Path | None = None
    """folder to look for data in, if it has moved"""
    json: Json = False


@dataclass(frozen=True, kw_only=True)
class ResumeArguments(AbstractFolderArguments):
    """Go on with a run that was stopped or killed. An experiment of your own is imported from its file again."""


def resume(arguments: list[str]) -> int:
    """``metaplax resume DIR``"""
    asked = parse(ResumeArguments, arguments, "metaplax resume")
    use_compilation_cache()
    with Interruption().listening() as interruption:
        folder = experiments.resume(asked.dir, asked.data_dir, default_progress, interruption)
    return _show(folder, asked.json)


@dataclass(frozen=True, kw_only=True)
class EvaluateArguments(AbstractFolderArguments):
    """Score what a finished run has meta-learned on longer streams; the scores are added to the run."""

    evaluation: tyro.conf.OmitArgPrefixes[Evaluation] = field(default_factory=Evaluation)


def evaluate(arguments: list[str]) -> int:
    """``metaplax evaluate DIR --classes N --order class|iid``"""
    asked = parse(EvaluateArguments, arguments, "metaplax evaluate")
    use_compilation_cache()
    with Interruption().listening() as interruption:
        folder = experiments.evaluate(asked.dir, asked.evaluation, asked.data_dir, default_progress, interruption)
    return _show(folder, asked.json)


def _show(folder: RunFolder, as_json: bool) -> int:
    """Write the report of a finished run and print its results."""
    report = reports.write([folder.path], folder.path / "report.html")
    if as_json:
        print(to_json({**folder.read_json("result.json"), "run": str(folder.path), "report": str(report)}))
        return 0
    recorded = reports.read(folder.path)
    show(tables.results(recorded))
    findings = [f"finding: {finding}" for finding in recorded.findings]
    print(*recorded.equations(), *findings, f"run folder  {folder.path}", f"report      {report}", sep="\n")
    return 0


@dataclass(frozen=True)
class ReportArguments:
    """Write the one-file HTML report of one or more runs."""

    dirs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """run folders"""
    out: Path | None = None
    """file to write; by default report.html in the run folder, or in the current folder for several runs"""


def report(arguments: list[str]) -> int:
    """``metaplax report DIR ...``"""
    asked = parse(ReportArguments, arguments, "metaplax report")
    if not asked.dirs:
        raise UsageError("which run folder? `metaplax report DIR ...`")
    target = asked.out or (asked.dirs[0] / "report.html" if len(asked.dirs) == 1 else Path("report.html"))
    print(reports.write(list(asked.dirs), target))
    return 0


@dataclass(frozen=True, kw_only=True)
class CompareArguments:
    """Compare the quantities of two runs."""

    first: Folder
    """run folder"""
    second: Folder
    """another run folder"""
    json: Json = False


def compare(arguments: list[str]) -> int:
    """``metaplax compare DIR DIR``"""
    asked = parse(CompareArguments, arguments, "metaplax compare")
    rows = reports.compare(reports.read(asked.first), reports.read(asked.second))
    print(to_json(rows)) if asked.json else show(tables.comparison(rows))
    return 0


@dataclass(frozen=True, kw_only=True)
class DataArguments:
    """List data sets, download them, or check their files."""

    what: Annotated[Literal["list", "fetch", "verify"], tyro.conf.Positional]
    """list all data sets, download some, or check those that are on the disk"""
    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """names of data sets"""
    data_dir: Path | None = None
    """folder to look in before the cache; the environment variable METAPLAX_DATA does the same"""
    json: Json = False


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
    states = data_sets.inspect(_named_or_present(asked), asked.data_dir, parse=asked.what == "verify")
    print(to_json(states)) if asked.json else show(tables.data_sets(states))
    return 1 if any(state["problem"] for state in states) else 0


def _named_or_present(asked: DataArguments) -> tuple[str, ...]:
    """The named data sets; if none is named, all of them, or for checking those that are on the disk."""
    everything = tuple(data_sets.CATALOG)
    if asked.names or asked.what != "verify":
        return asked.names or everything
    states = data_sets.inspect(everything, asked.data_dir)
    return tuple(state["name"] for state in states if not state["state"].startswith("not here"))


def to_json(value: object) -> str:
    """JSON for a program to read, in ASCII, since the encoding of the output is not known."""
    return json.dumps(value, indent=1, allow_nan=False)


VERBS = {
    "list": list_experiments, "run": run, "resume": resume, "evaluate": evaluate, "report": report, "compare": compare,
    "compare-estimators": compare_estimators, "data": data,
}  # fmt: skip
