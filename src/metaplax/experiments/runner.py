"""Runs an experiment into a run folder, and resumes it: one study after the other, all on the same episodes."""

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

from metaplax import data, runs
from metaplax._version import __version__
from metaplax.analysis import episodes_of, quantities
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, Conditions, ConfigError, Load
from metaplax.experiments.from_file import load_recorded, source
from metaplax.experiments.registry import configure, lookup
from metaplax.runs import Interruption, NoProgress, RunFolder, RunFolderError
from metaplax.training import DivergedError, use_all_cores

Progress = Callable[[str], runs.AbstractProgress]


@dataclass(frozen=True)
class RunOptions:
    """Options of a run besides the configuration of its experiment.

    Attributes:
        preset: name of the preset that sets the defaults of the other fields.
        data_dir: folder to look for data in.
        out: folder in which the run folder is made.
        checkpoint_seconds: least time between two checkpoints, in seconds.
    """

    preset: str = "quick"
    data_dir: Path | str | None = None
    out: Path | str = Path("runs")
    checkpoint_seconds: float = 20.0


def run(
    experiment: AbstractExperiment,
    options: RunOptions,
    progress: Progress = lambda title: NoProgress(),
    interruption: Interruption | None = None,
) -> RunFolder:
    """Run an experiment into a new folder.

    Raises:
        ConfigError: the configuration cannot be run.
        DataError: the data are missing or damaged.
        RunFolderError: the folder cannot be written.
        Interrupted: the interruption was requested; the run can be resumed.
    """
    if not 0 <= options.checkpoint_seconds < float("inf"):
        raise ConfigError(f"checkpoint_seconds must be a number of seconds, not {options.checkpoint_seconds}")
    use_all_cores()
    images = data.load(experiment.data, options.data_dir)
    studies = checked(experiment.studies(images, lambda name, split=None: data.load(name, options.data_dir, split)))
    config = {
        "experiment": experiment.name,
        "code": source(type(experiment)),
        "preset": options.preset,
        "data_dir": str(Path(options.data_dir).absolute()) if options.data_dir else None,
        "data": images.name,
        "data_sha256": _fingerprint(images),
        "checkpoint_seconds": options.checkpoint_seconds,
        "version": __version__,
        "title": experiment.title,
        "source": experiment.source,
        "report": asdict(experiment.report_options()),
        "studies": described(experiment, studies),
        "published": {name: asdict(published) for name, published in experiment.published_values().items()},
        "config": _stored(experiment),
    }
    folder = RunFolder.create(options.out, experiment.name, config)
    with folder.writing():
        conduct_all(experiment, studies, folder, progress, interruption)
    return folder


def resume(
    path: Path | str,
    data_dir: Path | str | None = None,
    progress: Progress = lambda title: NoProgress(),
    interruption: Interruption | None = None,
) -> RunFolder:
    """Go on with a run from its last checkpoint; the results equal those of an unbroken run bit for bit.

    An experiment that was run from a file of one's own is imported from that file again.

    Raises:
        RunFolderError: the folder is not a run folder, damaged or in use; the data are not the same as before; the file
            of the experiment is not there; or more steps are done than the configuration asks for.
        CheckpointError: the checkpoints are damaged or belong to another configuration.
        DataError: the data are missing or damaged.
        Interrupted: the interruption was requested; the run can be resumed again.
    """
    use_all_cores()
    folder = RunFolder.open(path)
    with folder.writing():
        experiment, images, load = opened(folder, data_dir)
        studies = checked(experiment.studies(images, load))
        conduct_all(experiment, studies, folder, progress, interruption)
    return folder


def opened(folder: RunFolder, data_dir: Path | str | None) -> tuple[AbstractExperiment, data.ImageSet, Load]:
    """The experiment of a run folder, with its data.

    Raises:
        RunFolderError: the folder is damaged, or the data are not the same as before.
        DataError: the data are missing or damaged.
    """
    config = folder.config()
    experiment = _configured(folder, config)
    place = Path(data_dir or config["data_dir"]) if data_dir or config["data_dir"] else None
    images = data.load(experiment.data, place)
    if _fingerprint(images) != config["data_sha256"]:
        raise RunFolderError(f"the data {experiment.data!r} are not the same as when {folder.path} was started")
    _warn_of_other_versions(folder)
    return experiment, images, lambda name, split=None: data.load(name, place, split)


def _configured(folder: RunFolder, config: dict[str, Any]) -> AbstractExperiment:
    """The experiment that a ``config.json`` describes."""
    try:
        code = config.get("code")
        kind = load_recorded(code, folder.path) if code else lookup(config["experiment"])
        experiment = kind(**{name: runs.with_tuples(value) for name, value in config["config"].items()})
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise RunFolderError(
            f"{folder.path / 'config.json'} does not describe an experiment of this version: {error}"
        ) from error
    now = source(kind)
    if code and now and now["sha256"] != code["sha256"]:
        warnings.warn(f"{now['file']} has changed since {folder.path} was started", stacklevel=2)
    return experiment


def _stored(experiment: AbstractExperiment) -> dict[str, Any]:
    """The fields of an experiment as ``config.json`` stores them; refuses those that would be read back differently."""
    found = asdict(experiment)
    for name, value in found.items():
        with suppress(TypeError):
            if runs.with_tuples(json.loads(json.dumps(value))) == value:
                continue
        raise ConfigError(f"{name} must be text, a number, true or false, or a tuple of these, not {value!r}")
    return found


def preset(name: str, which: str) -> AbstractExperiment:
    """An experiment as one of its presets configures it, see ``lookup`` and ``configure``."""
    return configure(lookup(name), which)


def described(experiment: AbstractExperiment, studies: Mapping[str, AbstractStudy]) -> dict[str, Any]:
    """The entry of every study in ``config.json``: its description, its label, and the terms of its rule."""
    found = {}
    for name, study in studies.items():
        about = experiment.describe(name)
        found[name] = {**asdict(about), "label": about.label, "terms": [asdict(term) for term in study.printed()]}
    return found


def checked(studies: dict[str, AbstractStudy]) -> dict[str, AbstractStudy]:
    """The same studies; refuses those that cannot work, before anything is compiled or written."""
    for study in studies.values():
        study.check()
    return studies


def conduct_all(
    experiment: AbstractExperiment,
    studies: Mapping[str, AbstractStudy],
    folder: RunFolder,
    progress: Progress,
    interruption: Interruption | None,
    go_on: str | None = None,
) -> None:
    """Conduct all studies that are not finished yet, and write the result of the run.

    ``go_on`` is the command that goes on after an interruption, by default ``metaplax resume``.

    Raises:
        CheckpointError: the checkpoints are damaged or belong to another configuration.
        RunFolderError: the folder is damaged or cannot be written.
        Interrupted: the interruption was requested; the run can be resumed.
        DivergedError: no finite results come out any more.
    """
    seconds, asked = folder.config()["checkpoint_seconds"], interruption or Interruption()
    rows = folder.rows()
    finished = {(row["study"], row["step"]) for row in rows if row.get("final")}
    for name, study in studies.items():
        done = sum(row["study"] == name and not row.get("final") for row in rows)
        if done > study.steps:
            raise RunFolderError(
                f"{done} steps of study {name!r} in {folder.path} are done already, more than {study.steps} that its"
                " config.json asks for"
            )

    # A run is also resumed with more meta-steps than before.
    settings = {field: value for field, value in asdict(experiment).items() if field != "meta_steps"}

    def recorder(name: str) -> runs.FolderRecorder:
        return runs.FolderRecorder(folder, name, f"{name}: {studies[name].fingerprint} with {settings}", seconds)

    for name, study in studies.items():
        if (name, study.steps) in finished:
            continue
        key = jax.random.key(experiment.seed)
        try:
            study.conduct(Conditions(key, experiment.trials, recorder(name), recorder, progress(name), asked))
        except runs.Interrupted as error:
            error.add_note(f"study {name!r}; go on with: {go_on or f'metaplax resume {folder.path}'}")
            raise
        except DivergedError as error:
            error.add_note(f"study {name!r}; its records are in {folder.path}")
            raise
    _write_result(experiment, studies, folder)


def _warn_of_other_versions(folder: RunFolder) -> None:
    before, now = folder.read_json("env.json").get("libraries", {}), runs.environment()["libraries"]
    changed = [f"{name} {before.get(name)} is now {now[name]}" for name in now if before.get(name) != now[name]]
    if changed:
        warnings.warn(f"results may differ in their last digits: {', '.join(changed)}", stacklevel=2)


def _write_result(experiment: AbstractExperiment, studies: Mapping[str, AbstractStudy], folder: RunFolder) -> None:
    rows, config = folder.rows(), folder.config()
    seconds = sum(row.get("seconds", 0.0) for row in rows)
    episodes = experiment.trials * sum(episodes_of(row) for row in rows if "seconds" in row)
    descriptions = {name: experiment.describe(name) for name in studies}
    found = [
        *quantities(rows, descriptions, experiment.report_options(), experiment.published_values()),
        *experiment.further_quantities(rows),
    ]
    result = {
        "experiment": experiment.name,
        "preset": config["preset"],
        "data": config["data"],
        "quantities": [quantity.as_json() for quantity in found],
        "findings": list(experiment.findings({quantity.name: quantity for quantity in found}, studies)),
        "seconds": round(seconds, 1),
        "episodes_per_second": round(episodes / seconds, 3) if seconds else None,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    folder.write_json("result.json", result)


def _fingerprint(images: data.ImageSet) -> str:
    digest = hashlib.sha256(images.images.tobytes())
    digest.update(images.labels.tobytes())
    return digest.hexdigest()
