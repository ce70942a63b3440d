"""Finds experiments by name: built in, registered in code, or registered by an installed package.

Packages register experiments by entry points of the group ``metaplax.experiments``, named like the experiments; they
are imported when they are looked up.
"""

from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from metaplax.experiments.base import AbstractExperiment, ConfigError, did_you_mean
from metaplax.experiments.from_file import checked_kind, is_in_file, load_from_file, told
from metaplax.experiments.lindsey2020 import EXPERIMENTS as LINDSEY2020
from metaplax.experiments.maoutsa2025 import EXPERIMENTS as MAOUTSA2025
from metaplax.experiments.mehta2024 import EXPERIMENTS as MEHTA2024
from metaplax.experiments.miconi2017 import EXPERIMENTS as MICONI2017
from metaplax.experiments.presets import checked
from metaplax.experiments.shervani2023 import EXPERIMENTS as SHERVANI2023
from metaplax.experiments.tyulmankov2022 import EXPERIMENTS as TYULMANKOV2022
from metaplax.experiments.zucchet2022 import EXPERIMENTS as ZUCCHET2022

GROUP = "metaplax.experiments"

EXPERIMENTS: dict[str, type[AbstractExperiment]] = {
    kind.name: kind
    for kind in (*SHERVANI2023, *LINDSEY2020, *ZUCCHET2022, *MICONI2017, *MAOUTSA2025, *TYULMANKOV2022, *MEHTA2024)
}
"""Experiments that are built in or registered in code, by name."""

Kind = TypeVar("Kind", bound=type[AbstractExperiment])


def register(kind: Kind) -> Kind:
    """Make an experiment known by its name in this process; can be used as a decorator.

    Raises:
        ConfigError: it is abstract, or another experiment has this name.
    """
    checked_kind(kind, repr(kind.__qualname__))
    if EXPERIMENTS.setdefault(kind.name, kind) is not kind:
        raise ConfigError(f"there is already an experiment {kind.name!r}: {kind.__qualname__} needs another name")
    return kind


def names() -> list[str]:
    """Names of all experiments that are built in or registered; no package is imported."""
    return list(dict.fromkeys([*EXPERIMENTS, *_entry_points()]))


def lookup(name: str) -> type[AbstractExperiment]:
    """An experiment by name, or by ``FILE.py:Class``, which imports that file.

    Raises:
        ConfigError: there is no such experiment, or it cannot be imported; one sentence.
    """
    if is_in_file(name):
        file, _, kind = name.rpartition(":")
        return load_from_file(file, kind)
    if name.endswith(".py"):
        raise ConfigError(f"which experiment of {name}? Name its class, too: {name}:CLASS")
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    registered = _entry_points()
    if name in registered:
        return _load(registered[name])
    hint = did_you_mean(name, [*EXPERIMENTS, *registered], "see `metaplax list`")
    raise ConfigError(f"there is no experiment {name!r}: {hint}")


def configure(kind: type[AbstractExperiment], preset: str) -> AbstractExperiment:
    """An experiment as one of its presets configures it; one without presets has its default fields.

    Raises:
        ConfigError: there is no such preset.
    """
    if not kind.presets:
        return kind()
    if preset not in kind.presets:
        hint = did_you_mean(preset, kind.presets, f"there are {', '.join(kind.presets)}")
        raise ConfigError(f"{kind.name} has no preset {preset!r}: {hint}")
    return replace(kind(), **checked(kind.presets[preset], kind, f"preset {preset!r} of {kind.name}"))


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _load(point: EntryPoint) -> type[AbstractExperiment]:
    where = f"the entry point {point.name!r} of {point.dist.name if point.dist else 'a package'}"
    try:
        found = point.load()
    except Exception as error:
        raise ConfigError(f"{where} cannot be loaded: {told(error)}") from error
    kind = checked_kind(found, where)
    if kind.name != point.name:
        raise ConfigError(f"{where} has another name than its experiment, which is called {kind.name!r}")
    return kind
