"""Running an experiment: every rule on the same episodes, into one run folder."""

import hashlib
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import jax

from metaplax import data
from metaplax._version import __version__
from metaplax.analysis import episodes_of, quantities
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, Conditions, ConfigError, Load
from metaplax.experiments.registry import lookup
from metaplax.runs import (
    AbstractProgress,
    FolderRecorder,
    Interrupted,
    Interruption,
    NoProgress,
    RunFolder,
    RunFolderError,
    environment,
)
from metaplax.training import DivergedError, use_all_cores

Progress = Callable[[str], AbstractProgress]


@dataclass(frozen=True)
class RunOptions:
    """What an experiment is run with besides its own configuration.

    Attributes:
        preset: name of the preset the configuration started from.
        data_dir: folder to look for data in.
        out: folder in which the run folder is made.
        checkpoint_seconds: least time between two checkpoints.
    """

    preset: str = "quick"
    data_dir: Path | None = None
    out: Path = Path("runs")
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
        Interrupted: somebody asked to stop; the run can be resumed.
    """
    if not 0 <= options.checkpoint_seconds < float("inf"):
        raise ConfigError(f"checkpoint_seconds must be a number of seconds, not {options.checkpoint_seconds}")
    use_all_cores()
    images = data.load(experiment.data, options.data_dir)
    studies = checked(experiment.studies(images, lambda name, split=None: data.load(name, options.data_dir, split)))
    config = {
        "experiment": experiment.name,
        "preset": options.preset,
        "data_dir": str(options.data_dir.absolute()) if options.data_dir else None,
        "data": images.name,
        "data_sha256": _fingerprint(images),
        "checkpoint_seconds": options.checkpoint_seconds,
        "version": __version__,
        "title": experiment.title,
        "source": experiment.source,
        "averaged": experiment.averaged,
        "axis": experiment.axis,
        "stride": experiment.stride,
        "places": experiment.places,
        "headline": experiment.headline,
        "loss_unit": experiment.loss_unit,
        "by_cost": experiment.by_cost,
        "scan": {"name": experiment.scan[0], "values": dict(experiment.scan[1])} if experiment.scan else None,
        "rules": described(experiment, studies),
        "published": {name: asdict(published) for name, published in experiment.published_values().items()},
        "config": asdict(experiment),
    }
    folder = RunFolder.create(options.out, experiment.name, config)
    with folder.writing():
        conduct_all(experiment, studies, folder, progress, interruption)
        write_result(experiment, studies, folder)
    return folder


def resume(
    path: Path,
    data_dir: Path | None = None,
    progress: Progress = lambda title: NoProgress(),
    interruption: Interruption | None = None,
) -> RunFolder:
    """Go on with a run where its last checkpoint was; what it gives equals an unbroken run bit for bit.

    Raises:
        RunFolderError: the folder is no run folder, damaged or in use, or the data are not the same as before.
        CheckpointError: the checkpoints are damaged or belong to another rule.
        DataError: the data are missing or damaged.
        Interrupted: somebody asked to stop; the run can be resumed again.
    """
    use_all_cores()
    folder = RunFolder.open(path)
    with folder.writing():
        experiment, images, load = opened(folder, data_dir)
        studies = checked(experiment.studies(images, load))
        conduct_all(experiment, studies, folder, progress, interruption)
        write_result(experiment, studies, folder)
    return folder


def opened(folder: RunFolder, data_dir: Path | None) -> tuple[AbstractExperiment, data.ImageSet, Load]:
    """The experiment of a run folder, with its data.

    Raises:
        RunFolderError: the folder is damaged, or the data are not the same as before.
        DataError: the data are missing or damaged.
    """
    config = folder.config()
    experiment = configured(config)
    place = data_dir or (Path(config["data_dir"]) if config["data_dir"] else None)
    images = data.load(experiment.data, place)
    if _fingerprint(images) != config["data_sha256"]:
        raise RunFolderError(f"the data {experiment.data!r} are not the same as when {folder.path} was started")
    _warn_of_other_versions(folder)
    return experiment, images, lambda name, split=None: data.load(name, place, split)


def configured(config: dict[str, Any]) -> AbstractExperiment:
    """The experiment that a ``config.json`` describes.

    Raises:
        RunFolderError: it describes none.
    """
    try:
        kind = lookup(config["experiment"])
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in config["config"].items()
        }
        return kind(**fields)
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise RunFolderError(f"config.json does not describe an experiment of this version: {error}") from error


def preset(name: str, which: str) -> AbstractExperiment:
    """An experiment as one of its presets configures it.

    Raises:
        ConfigError: there is no such experiment or preset.
    """
    kind = lookup(name)
    if which not in kind.presets:
        near = get_close_matches(which, kind.presets, 1, 0.4)
        hint = f"did you mean {near[0]!r}" if near else f"there are {', '.join(kind.presets)}"
        raise ConfigError(f"there is no preset {which!r}: {hint}")
    return replace(kind(), **kind.presets[which])


def described(experiment: AbstractExperiment, studies: Mapping[str, AbstractStudy]) -> dict[str, Any]:
    """What a reader of the run folder needs to know of every rule: its label, and how it is written."""
    return {
        rule: {
            "label": experiment.label(rule),
            "terms": [asdict(term) for term in study.printed()],
        }
        for rule, study in studies.items()
    }


def checked(studies: dict[str, AbstractStudy]) -> dict[str, AbstractStudy]:
    """The same studies; refuses, before anything is compiled or written, what cannot work."""
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
    """Conduct all studies that are not finished yet.

    Args:
        experiment: whose studies they are.
        studies: by short name.
        folder: where rows and checkpoints go.
        progress: shows how far each is.
        interruption: asked now and then whether to stop.
        go_on: what goes on after an interruption; by default ``metaplax resume``.

    Raises:
        CheckpointError: the checkpoints are damaged or belong to something else.
        RunFolderError: the folder is damaged or cannot be written.
        Interrupted: somebody asked to stop; the run can be resumed.
        DivergedError: nothing finite came out any more.
    """
    seconds, asked = folder.config()["checkpoint_seconds"], interruption or Interruption()
    finished = {(row["rule"], row["step"]) for row in folder.rows() if row.get("final")}

    def recorder(rule: str) -> FolderRecorder:
        return FolderRecorder(folder, rule, _belongs_to(experiment, rule, studies[rule]), seconds)

    for rule, study in studies.items():
        if (rule, study.steps) in finished:
            continue
        key = jax.random.key(experiment.seed)
        try:
            study.conduct(Conditions(key, experiment.trials, recorder(rule), recorder, progress(rule), asked))
        except Interrupted as error:
            error.add_note(f"rule {rule!r}; go on with: {go_on or f'metaplax resume {folder.path}'}")
            raise
        except DivergedError as error:
            error.add_note(f"rule {rule!r}; what was recorded is in {folder.path}")
            raise


def _belongs_to(experiment: AbstractExperiment, rule: str, study: AbstractStudy) -> str:
    """What a checkpoint must have been made with to be resumed; more episodes may be asked for."""
    settings = {name: value for name, value in asdict(experiment).items() if name != "episodes"}
    return f"{rule}: {study.fingerprint} with {settings}"


def _warn_of_other_versions(folder: RunFolder) -> None:
    before, now = folder.read_json("env.json").get("libraries", {}), environment()["libraries"]
    changed = [f"{name} {before.get(name)} is now {now[name]}" for name in now if before.get(name) != now[name]]
    if changed:
        warnings.warn(f"results may differ in their last digits: {', '.join(changed)}", stacklevel=2)


def write_result(experiment: AbstractExperiment, studies: Mapping[str, AbstractStudy], folder: RunFolder) -> None:
    """Write ``result.json`` from the rows of a run."""
    rows, config = folder.rows(), folder.config()
    seconds = sum(row.get("seconds", 0.0) for row in rows)
    episodes = experiment.trials * sum(episodes_of(row) for row in rows if "seconds" in row)
    found = [
        *quantities(rows, experiment.published_values(), experiment.averaged, experiment.loss_unit),
        *experiment.further_quantities(rows),
    ]
    folder.write_json(
        "result.json",
        {
            "experiment": experiment.name,
            "preset": config["preset"],
            "data": config["data"],
            "quantities": [quantity.as_json() for quantity in found],
            "findings": list(experiment.findings({quantity.name: quantity for quantity in found}, studies)),
            "seconds": round(seconds, 1),
            "episodes_per_second": round(episodes / seconds, 3) if seconds else None,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        },
    )


def _fingerprint(images: data.ImageSet) -> str:
    digest = hashlib.sha256(images.images.tobytes())
    digest.update(images.labels.tobytes())
    return digest.hexdigest()
