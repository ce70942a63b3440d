"""The options of ``metaplax sweep``: the fields of the experiment, each with one value or several, and its own."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin, get_type_hints

import tyro

from metaplax._version import __version__
from metaplax.cli.console import Json
from metaplax.cli.named import named
from metaplax.cli.parsing import UsageError, parse
from metaplax.experiments import AbstractExperiment
from metaplax.experiments.from_file import source
from metaplax.experiments.stored_config import stored
from metaplax.runs.schema import SearchPlan, SweepPlan
from metaplax.runs.sweep_folder import value_text
from metaplax.sweeps.grid import combined, tasks
from metaplax.sweeps.search import is_range

MOST_SEEDS = 100_000
MOST_SETTINGS = 9_999


@dataclass(frozen=True)
class Engine:
    """Where the runs of a sweep are conducted.

    Attributes:
        on: this machine, a Ray cluster (extra `sweep`), or SLURM (extra `slurm`).
        workers: runs at the same time; by default as many as there are cores for, or GPUs.
        ray_address: HOST:PORT of a running Ray cluster; by default RAY_ADDRESS, else one is started here.
        slurm: options of sbatch as NAME=VALUE, such as partition=long time=600 (minutes).
        json: print JSON for a program to read.
    """

    on: Literal["local", "ray", "slurm"] = "local"
    workers: int = 0
    ray_address: str = ""
    slurm: tuple[str, ...] = ()
    json: Json = False


@dataclass(frozen=True)
class SweepOptions:
    """What a sweep is, besides the values of fields.

    Attributes:
        preset: name of the preset that sets fields without a value.
        seeds: number of seeds, counted up from the one of the experiment.
        grid: every combination of the values, which is the default.
        zip: the first value of every field, then the second one of every field, and so on.
        out: the sweep folder; one that holds this sweep already is gone on with.
        data_dir: folder to look for data in.
        checkpoint_seconds: least time between two checkpoints of a run, in seconds.
        cores: processor cores of every run.
        gpu_share: part of the memory of a GPU that every run gets.
        search: let Optuna (extra `search`) choose settings; two numbers are the ends of a range.
        settings: number of settings that a search tries.
        maximise: the quantity that a search makes large, such as accuracy.f_bio, on average over seeds.
        minimise: the quantity that it makes small.
        log: fields that are searched on a logarithmic scale.
        dry_run: only print the number of runs, and estimates of processor time and disk space.
    """

    preset: str
    seeds: int = 0
    grid: bool = False
    zip: bool = False
    out: Path | None = None
    data_dir: Path | None = None
    checkpoint_seconds: float = 20.0
    cores: int = 1
    gpu_share: float = 1.0
    search: Literal["none", "optuna"] = "none"
    settings: int = 40
    maximise: str = ""
    minimise: str = ""
    log: tuple[str, ...] = ()
    dry_run: bool = False


def read_options(arguments: list[str]) -> tuple[SweepPlan, SweepOptions, Engine]:
    """What a command asks for.

    Raises:
        UsageError: the options cannot be understood, or do not make a sweep.
        ConfigError: there is no such experiment, or a setting cannot be run.
    """
    found = named(arguments, "sweep")
    if found is None:
        raise SystemExit(0)
    name, start, preset = found
    hints = get_type_hints(type(start))
    own = {one.name for part in (SweepOptions, Engine) for one in fields(part)}
    if clash := [one.name for one in fields(start) if one.name in own]:
        raise UsageError(f"{name} has a field that is an option of sweeps: rename {', '.join(clash)}")
    varied = make_dataclass(
        "Varied", [_several(one.name, hints[one.name], start) for one in fields(start)], frozen=True
    )
    parts: list[tuple[str, Any, Any]] = [
        ("values", tyro.conf.OmitArgPrefixes[varied], field(default=varied())),
        ("sweep", tyro.conf.OmitArgPrefixes[SweepOptions], field(default=SweepOptions(preset))),
        ("engine", tyro.conf.OmitArgPrefixes[Engine], field(default=Engine())),
    ]
    rest = _with_values(arguments[1:], {one.name: hints[one.name] for one in fields(start)})
    asked = parse(make_dataclass("Sweep", parts, frozen=True), rest, f"metaplax sweep {name}")
    given = {one.name: getattr(asked.values, one.name) for one in fields(start)}
    check_engine(asked.engine)
    plan = _plan(start, {name: values for name, values in given.items() if values}, asked.sweep)
    return plan, asked.sweep, asked.engine


def check_engine(engine: Engine) -> None:
    """Refuse options that no engine takes, by a ``UsageError``."""
    if engine.workers < 0:
        raise UsageError(f"workers must be at least 1, not {engine.workers}")


def _several(name: str, hint: Any, start: AbstractExperiment) -> tuple[str, Any, Any]:
    """A field that takes several values; of a field that is a tuple itself, every value has an option of its own."""
    is_tuple = get_origin(hint) is tuple
    usual = value_text(getattr(start, name))
    about = f"values, each after --{name.replace('_', '-')} of its own" if is_tuple else "values"
    kind = tyro.conf.UseAppendAction[tuple[hint, ...]] if is_tuple else tuple[hint, ...]
    return name, Annotated[kind, tyro.conf.arg(help=f"{about}; by default {usual}")], field(default=())


def _with_values(arguments: Sequence[str], hints: Mapping[str, Any]) -> list[str]:
    """The arguments with the values of flags, such as ``--safeguards``, written out.

    Raises:
        UsageError: a field is named without a value.
    """
    found = []
    for token, following in itertools.zip_longest(arguments, arguments[1:], fillvalue="--"):
        name, is_bare = token.removeprefix("--").replace("-", "_"), following.startswith("--")
        if not token.startswith("--"):
            found.append(token)
        elif hints.get(name.removeprefix("no_")) is bool and name.startswith("no_"):
            found += [f"--{name.removeprefix('no_')}", "False"]
        elif hints.get(name) is bool and is_bare:
            found += [token, "True"]
        elif name in hints and is_bare:
            raise UsageError(f"{token} needs a value")
        else:
            found.append(token)
    return found


def search_plan(options: SweepOptions, varied: Mapping[str, list]) -> SearchPlan | None:
    """What a search is asked for; ``None`` without one.

    Raises:
        UsageError: options do not go together.
    """
    goals = [goal for goal in (options.maximise, options.minimise) if goal]
    if options.search == "none":
        if goals or options.log:
            raise UsageError("--maximise, --minimise and --log belong to a search: add --search optuna")
        return None
    if len(goals) != 1:
        raise UsageError("a search needs one quantity: --maximise accuracy.f_bio, for example, or --minimise")
    if not varied or options.zip or options.grid:
        raise UsageError("a search needs fields with several values, and neither --grid nor --zip")
    if not 1 <= options.settings <= MOST_SETTINGS:
        raise UsageError(f"settings must be from 1 to {MOST_SETTINGS}, not {options.settings}")
    log = [name.removeprefix("--").replace("-", "_") for name in options.log]
    for name in log:
        if not is_range(varied.get(name, [])) or min(varied[name]) <= 0:
            raise UsageError(
                f"--log {name}: a logarithmic scale needs two numbers above zero, as in --{name} 1e-4 1e-2"
            )
    return {"goal": goals[0], "maximise": bool(options.maximise), "settings": options.settings, "log": log}


def _plan(start: AbstractExperiment, given: dict[str, tuple], options: SweepOptions) -> SweepPlan:
    """The plan of a sweep.

    Raises:
        UsageError: options do not go together.
        ConfigError: a setting cannot be run.
    """
    if options.grid and options.zip:
        raise UsageError("--grid and --zip exclude each other")
    for name, low, high in (("seeds", 0, MOST_SEEDS), ("cores", 1, 4096), ("checkpoint_seconds", 0, 10**9)):
        if not low <= getattr(options, name) <= high:
            raise UsageError(f"{name} must be from {low} to {high}, not {getattr(options, name)}")
    if not 0 < options.gpu_share <= 1:
        raise UsageError(f"gpu_share is a part of a GPU, above 0 and up to 1, not {options.gpu_share}")
    seeds = [*given.pop("seed", (start.seed,))]
    if options.seeds and len(seeds) > 1:
        raise UsageError("--seeds counts up from one --seed: give several seeds, or their number")
    seeds = [*range(seeds[0], seeds[0] + options.seeds)] if options.seeds else seeds
    fixed = {name: values[0] for name, values in given.items() if len(values) == 1}
    varied = {name: [*values] for name, values in given.items() if len(values) > 1}
    search = search_plan(options, varied)
    try:
        settings = combined(varied, in_turn=options.zip)
        # Those of a search are chosen later; here are the corners of what it searches.
        runs = {} if search else tasks(settings, seeds)
    except ValueError as error:
        raise UsageError(str(error)) from error
    checked = [replace(start, **fixed, **setting, seed=seeds[0]) for setting in settings]
    for seed in seeds:
        replace(checked[0], seed=seed)
    experiment, known = checked[0], [one.report_options().validation for one in checked]
    return {
        "experiment": experiment.name,
        "code": source(type(experiment)),  # pyright: ignore[reportReturnType]
        "preset": options.preset,
        "data_dir": str(options.data_dir.absolute()) if options.data_dir else None,
        "checkpoint_seconds": options.checkpoint_seconds,
        "validation": [name for name in known[0] if all(name in others for others in known)],
        "config": stored(experiment),
        "fields": varied,
        "seeds": seeds,
        "cores": options.cores,
        "gpu_share": options.gpu_share,
        "tasks": runs,  # pyright: ignore[reportReturnType]
        "search": search,
        "version": __version__,
    }
