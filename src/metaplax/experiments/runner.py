"""Runs an experiment into a run folder, and resumes it: one study after the other, all on the same episodes."""

import hashlib
import json
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jax

from metaplax import data, runs
from metaplax._version import __version__
from metaplax.analysis import episodes_of, quantities
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, Conditions, ConfigError, Load, config_errors
from metaplax.experiments.from_file import checksum, named_files, source
from metaplax.experiments.limits import require_fit
from metaplax.experiments.registry import configure, lookup
from metaplax.experiments.stored_config import extend, read_back, refuse_fewer, stored
from metaplax.experiments.studies.meta_training import in_one_launch
from metaplax.runs import Interruption, NoProgress, RunFolder, RunFolderError, hosts
from metaplax.runs.schema import STUDY_NAME
from metaplax.runs.tracking import Tracked, require_tracker, tracked
from metaplax.training import DivergedError, launch, use_all_cores

Together = Literal["auto", "yes", "no"]
Progress = Callable[[str], runs.AbstractProgress]


@dataclass(frozen=True)
class RunOptions:
    """Options of a run besides the configuration of its experiment.

    Attributes:
        preset: name of the preset that sets the defaults of the other fields.
        data_dir: folder to look for data in.
        out: folder in which the run folder is made.
        checkpoint_seconds: least time between two checkpoints, in seconds.
        together: whether arms that differ in their numbers only are meta-trained in one launch, their trials side by
            side; auto for on accelerators only.
        track: tracker that is told what the run records.
    """

    preset: str = "quick"
    data_dir: Path | str | None = None
    out: Path | str = Path("runs")
    checkpoint_seconds: float = 20.0
    together: Together = "auto"
    track: Tracked = "nothing"


def run(
    experiment: AbstractExperiment,
    options: RunOptions,
    progress: Progress = lambda title: NoProgress(),
    interruption: Interruption | None = None,
    name: str = "",
) -> RunFolder:
    """Run an experiment into a new folder, or into the one with this name, in which no run may have begun.

    Raises:
        ConfigError: the configuration cannot be run.
        DataError: the data are missing or damaged.
        RunFolderError: the folder cannot be written.
        Interrupted: the interruption was requested; the run can be resumed.
    """
    with config_errors():
        require_tracker(options.track)
    studies, config = planned(experiment, options)
    compared = {name: value for name, value in config.items() if name != "data_dir"}
    hosts.require_same(json.dumps(compared, sort_keys=True, default=str), "configuration")
    with hosts.own_place(Path(options.out)) as place:
        folder = RunFolder.create(place, experiment.name, config, name)
        with folder.writing(), tracked(folder, options.track, progress) as shown:
            conduct_all(experiment, studies, folder, shown, interruption, together=options.together)
    return folder


def planned(experiment: AbstractExperiment, options: RunOptions) -> tuple[dict[str, AbstractStudy], dict[str, Any]]:
    """The studies of an experiment, and what ``config.json`` says of it, see ``run``; nothing is written."""
    if not 0 <= options.checkpoint_seconds < float("inf"):
        raise ConfigError(f"checkpoint_seconds must be a number of seconds, not {options.checkpoint_seconds}")
    use_all_cores()
    images = data.load(experiment.data, options.data_dir)
    load = lambda name, split=None: data.load(name, options.data_dir, split)  # noqa: E731
    studies = prepared(experiment, images, load, options.preset)
    config = {
        "experiment": experiment.name,
        "code": source(type(experiment)),
        "files": {str(path): checksum(path) for path in named_files(stored(experiment))},
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
        "config": stored(experiment),
    }
    return studies, config


def resume(
    path: Path | str,
    data_dir: Path | str | None = None,
    progress: Progress = lambda title: NoProgress(),
    interruption: Interruption | None = None,
    more_meta_steps: int = 0,
    together: Together = "auto",
    track: Tracked = "nothing",
) -> RunFolder:
    """Go on with a run from its last checkpoint; the results equal those of an unbroken run bit for bit.

    An experiment that was run from a file of one's own is imported from that file again. With ``more_meta_steps`` it
    takes so many meta-steps in addition to those that it was started with. ``together`` and ``track`` as in
    ``RunOptions``.

    Raises:
        ConfigError: the experiment does not have meta-steps to add to, or the tracker is not installed.
        RunFolderError: the folder is not a run folder, damaged or in use; the data are not the same as before; the file
            of the experiment is not there; the configuration has been changed, or asks for fewer steps than are done;
            or the number of meta-steps changes what every step does.
        CheckpointError: the checkpoints are damaged or belong to another configuration.
        DataError: the data are missing or damaged.
        Interrupted: the interruption was requested; the run can be resumed again.
    """
    with config_errors():
        require_tracker(track)
    use_all_cores()
    with hosts.own_copy(path) as own:
        folder = RunFolder.open(own)
        with folder.writing():
            experiment, images, load = opened(folder, data_dir)
            experiment = extend(folder, experiment, more_meta_steps, lambda one: checked(one.studies(images, load)))
            studies = prepared(experiment, images, load, folder.config()["preset"])
            with tracked(folder, track, progress) as shown:
                conduct_all(experiment, studies, folder, shown, interruption, together=together)
    return folder


def opened(folder: RunFolder, data_dir: Path | str | None) -> tuple[AbstractExperiment, data.ImageSet, Load]:
    """The experiment of a run folder, with its data.

    Raises:
        RunFolderError: the folder is damaged, or the data are not the same as before.
        DataError: the data are missing or damaged.
    """
    config = folder.config()
    experiment = read_back(folder, config)
    place = Path(data_dir or config["data_dir"]) if data_dir or config["data_dir"] else None
    images = data.load(experiment.data, place)
    if _fingerprint(images) != config["data_sha256"]:
        raise RunFolderError(f"the data {experiment.data!r} are not the same as when {folder.path} was started")
    _compare_environments(folder)
    return experiment, images, lambda name, split=None: data.load(name, place, split)


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


def prepared(
    experiment: AbstractExperiment, images: data.ImageSet, load: Load, preset: str
) -> dict[str, AbstractStudy]:
    """The studies of an experiment; refuses those that do not fit the memory or cannot work, before any is compiled."""
    kind, once = type(experiment), cache(load)
    usual = configure(kind, preset) if preset in kind.presets else kind()
    require_fit(lambda: experiment.studies(images, once), experiment.trials, experiment, usual)
    return checked(experiment.studies(images, once))


def checked(studies: dict[str, AbstractStudy]) -> dict[str, AbstractStudy]:
    """The same studies; refuses those that cannot work, before anything is compiled or written."""
    for name, study in studies.items():
        if not re.match(STUDY_NAME, name):
            raise ConfigError(f"studies are named like files and begin with a letter or digit, but one is {name!r}")
        study.check()
    return studies


def conduct_all(
    experiment: AbstractExperiment,
    studies: Mapping[str, AbstractStudy],
    folder: RunFolder,
    progress: Progress,
    interruption: Interruption | None,
    go_on: str | None = None,
    together: Together = "auto",
) -> None:
    """Conduct all studies that are not finished yet, and write the result of the run.

    ``go_on`` is the command that goes on after an interruption, by default ``metaplax resume``. ``together``
    as in ``RunOptions``.

    Raises:
        CheckpointError: the checkpoints are damaged or belong to another configuration.
        RunFolderError: the folder is damaged or cannot be written.
        Interrupted: the interruption was requested; the run can be resumed.
        DivergedError: no finite results come out any more.
    """
    seconds, asked = folder.config()["checkpoint_seconds"], interruption or Interruption()
    rows = folder.rows(known=folder.config()["studies"])
    finished = {(row["study"], row["step"]) for row in rows if row.get("final")}
    refuse_fewer(folder, studies)

    recorder = lambda name: recorder_of(experiment, studies, folder, name, seconds)  # noqa: E731

    def conditions(name: str) -> Conditions:
        key = jax.random.key(experiment.seed)
        return Conditions(key, experiment.trials, recorder(name), recorder, progress(name), asked)

    waiting = [name for name, study in studies.items() if (name, study.steps) not in finished]
    go_on = go_on or f"metaplax resume {folder.path}"
    is_shared = together == "yes" or (together == "auto" and jax.local_devices()[0].platform != "cpu")
    groups = list(in_one_launch(studies, {name: conditions(name) for name in waiting})) if is_shared else []
    for group in groups:
        with explained(list(group), folder, go_on):
            launch(list(group.values()), "auto", progress(", ".join(group)), asked)
    for name in waiting:
        if not any(name in group for group in groups):
            with explained([name], folder, go_on):
                studies[name].conduct(conditions(name))
    _write_result(experiment, studies, folder)


def recorder_of(
    experiment: AbstractExperiment,
    studies: Mapping[str, AbstractStudy],
    folder: RunFolder,
    name: str,
    seconds: float = 20.0,
) -> runs.FolderRecorder:
    """Keeps the rows and checkpoints of a study."""
    # A run is also resumed with more meta-steps than before.
    settings = {field: value for field, value in asdict(experiment).items() if field != "meta_steps"}
    return runs.FolderRecorder(folder, name, f"{name}: {studies[name].fingerprint} with {settings}", seconds)


@contextmanager
def explained(names: Sequence[str], folder: RunFolder, go_on: str) -> Iterator[None]:
    """Say of errors in which studies they were, and how to go on."""
    which = f"{'studies' if len(names) > 1 else 'study'} {', '.join(map(repr, names))}"
    try:
        with hosts.losses_explained():
            yield
    except runs.Interrupted as error:
        error.add_note(f"{which}; go on with: {go_on}")
        raise
    except DivergedError as error:
        error.add_note(f"{which}; its records are in {folder.path}")
        raise
    except runs.HostsError:
        raise
    except (MemoryError, RuntimeError) as error:
        error.add_note(f"{which}; go on, with more memory, by: {go_on}")
        raise


def _compare_environments(folder: RunFolder) -> None:
    """Refuse settings with which other random numbers would be drawn; warn of what changes last digits.

    Raises:
        RunFolderError: the settings differ.
    """
    decisive, rounding = runs.differences(folder.env(), runs.environment())
    if decisive:
        raise RunFolderError(
            f"{folder.path} cannot go on with other random numbers: {', '.join(decisive)}; set it as it was"
        )
    if rounding:
        warnings.warn(f"results may differ in their last digits: {', '.join(rounding)}", stacklevel=2)


def _write_result(experiment: AbstractExperiment, studies: Mapping[str, AbstractStudy], folder: RunFolder) -> None:
    rows, config = folder.rows(), folder.config()
    seconds = sum(row.get("seconds", 0.0) for row in rows)
    episodes = experiment.trials * sum(row.get("stride", 1) * episodes_of(row) for row in rows if "seconds" in row)
    descriptions = {name: experiment.describe(name) for name in studies}
    found = [
        *quantities(rows, descriptions, experiment.report_options(), experiment.published_values()),
        *experiment.further_quantities(rows),
    ]
    searches = {name: f"searches/{name}.json" for name in studies if (folder.path / f"searches/{name}.json").is_file()}
    result = {
        "experiment": experiment.name,
        "preset": config["preset"],
        "data": config["data"],
        "quantities": [quantity.as_json() for quantity in found],
        "searched": {name: folder.read_json(file) for name, file in searches.items()},
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
