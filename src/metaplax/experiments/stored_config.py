"""The configuration of a run as its folder stores it: written, read back, and changed where that makes sense."""

import json
import typing
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from metaplax import runs
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError
from metaplax.experiments.from_file import checksum, load_recorded, named_files, refuse_in_folder, source
from metaplax.experiments.registry import lookup
from metaplax.runs import RunFolder, RunFolderError

Studies = Mapping[str, AbstractStudy]
EXTENDED = "meta_steps"
"""The one field with which a run may go on otherwise than it was started."""


def stored(experiment: AbstractExperiment) -> dict[str, Any]:
    """The fields of an experiment as ``config.json`` stores them.

    Raises:
        ConfigError: one of them would be read back differently.
    """
    found = asdict(experiment)
    for name, value in found.items():
        with suppress(TypeError):
            if runs.with_tuples(json.loads(json.dumps(value))) == value:
                continue
        raise ConfigError(f"{name} must be text, a number, true or false, or a tuple of these, not {value!r}")
    return found


def read_back(folder: RunFolder, config: Mapping[str, Any]) -> AbstractExperiment:
    """The experiment that a ``config.json`` describes.

    Raises:
        RunFolderError: it describes none of this version, or another one than the run was started with.
    """
    path, given, code = folder.path / "config.json", config["config"], config.get("code")
    experiment = described_by(path, config["experiment"], code, given)
    now, before = source(type(experiment)), config.get("files", {})
    changed = [file for file in named_files(given) if before.get(str(file)) not in (None, checksum(file))]
    if code and now and now["sha256"] != code["sha256"]:
        changed = [*changed, now["file"]]
    for file in changed:
        warnings.warn(f"{file} has changed since {folder.path} was started", stacklevel=3)
    asked = _asked(folder, config)
    if asked["experiment"] != config["experiment"] or experiment.name != config["experiment"]:
        raise RunFolderError(f"{path} belongs to another study: the run was started as {asked['experiment']!r}")
    for name in sorted(asked["config"].keys() | given.keys()):
        was, now = asked["config"].get(name), given.get(name)
        if name != EXTENDED and was != now:
            raise RunFolderError(
                f"{path} belongs to another study: {name} is {now!r}, but the run was started with {was!r}; change it"
                " back, or start another run"
            )
    return experiment


def described_by(path: Path, name: str, code: Mapping[str, str] | None, given: Mapping[str, Any]) -> AbstractExperiment:
    """The experiment with this name, or from this file of one's own, with the fields that a JSON file gives.

    Raises:
        RunFolderError: there is no such experiment in this version, or it cannot have such fields.
    """
    try:
        refuse_in_folder(named_files(given), path.parent)
        kind = load_recorded(code, path.parent) if code else lookup(name)
        _check_types(kind, given)
        return kind(**{name: runs.with_tuples(value) for name, value in given.items()})
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{path} does not describe an experiment of this version: {error}") from error


def extend(
    folder: RunFolder, experiment: AbstractExperiment, more: int, studies: Callable[[AbstractExperiment], Studies]
) -> AbstractExperiment:
    """The experiment with further meta-steps; prepares the folder, if their number is not that of the start.

    Studies that may use what is meta-trained are conducted anew: those whose number of steps stays.

    Raises:
        ConfigError: ``more`` is negative, or the experiment has no number of meta-steps of its own.
        RunFolderError: more steps are done already, or the number of meta-steps changes what every step does.
    """
    config = folder.config()
    asked = _asked(folder, config)
    if more < 0 or (more and not getattr(experiment, EXTENDED, 0)):
        raise ConfigError(f"{experiment.name} cannot have {more} more meta-steps")
    if more:
        experiment = replace(experiment, **{EXTENDED: getattr(experiment, EXTENDED) + more})
    before = asked["config"].get(EXTENDED)
    if getattr(experiment, EXTENDED, before) == before:
        return experiment
    old, new = studies(replace(experiment, **{EXTENDED: before})), studies(experiment)
    refuse_fewer(folder, new)
    if any(name not in old or old[name].schedule != study.schedule for name, study in new.items()):
        raise RunFolderError(
            f"{folder.path} cannot go on to {getattr(experiment, EXTENDED)} meta-steps: it was started with {before},"
            " and what its steps do depends on their number; start another run"
        )
    for name in config["studies"]:
        if name not in new or old[name].steps == new[name].steps:
            folder.drop_rows(name, 0)
            runs.FolderRecorder(folder, name, "").checkpoints.clear()
    (folder.path / "result.json").unlink(missing_ok=True)
    now = stored(experiment)
    folder.write_json("config.json", {**config, "config": now})
    # Last: until then, the run is extended again when it is resumed.
    folder.write_json("env.json", {**folder.env(), "asked": {**asked, "config": now}})
    return experiment


def refuse_fewer(folder: RunFolder, studies: Studies) -> None:
    """Refuse studies that have more steps than they are now asked for.

    Raises:
        RunFolderError: one of them has.
    """
    last = {row["study"]: row for row in folder.rows()}
    for name, study in studies.items():
        row = last.get(name, {"step": -1})
        done = row["step"] + (not row.get("final"))
        if done > study.steps:
            raise RunFolderError(
                f"{done} steps of study {name!r} in {folder.path} are done already, more than {study.steps} that its"
                " config.json asks for"
            )


def is_changed(folder: RunFolder, experiment: AbstractExperiment) -> bool:
    """Whether an experiment has another number of meta-steps than its run was started or extended with."""
    asked = _asked(folder, folder.config())["config"].get(EXTENDED)
    return getattr(experiment, EXTENDED, asked) != asked


def _asked(folder: RunFolder, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the run was started with; runs of earlier versions only have their ``config.json``."""
    return folder.env().get("asked") or {"experiment": config["experiment"], "config": config["config"]}


def _check_types(kind: type[AbstractExperiment], given: Mapping[str, Any]) -> None:
    """Refuse values of other types than the fields of an experiment have, as far as these are known.

    Raises:
        ValueError: one sentence that names the field.
    """
    hints = typing.get_type_hints(kind)
    for field in fields(kind):
        if field.name in given:
            try:
                with suppress(TypeError):  # a type that JSON does not know
                    runs.as_kind(given[field.name], hints[field.name])
            except ValueError as error:
                raise ValueError(f"{field.name}: {error}") from error
