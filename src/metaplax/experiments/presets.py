"""Tables beside the code, in TOML files: presets and settings of experiments, labels, and published numbers.

In any table ``like = "other"`` takes over the keys of another table of the same file; the table's own keys come on top.
A name stands for a table beside this one, a dotted name for one from the top of the file.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from metaplax.experiments.base import ConfigError, did_you_mean
from metaplax.runs import with_tuples

Kind = TypeVar("Kind")
TablePath = tuple[str, ...]


def load_tables(module: str, file: str, table: str = "") -> dict[str, Any]:
    """The tables of a TOML file that lies beside a module.

    Args:
        module: ``__file__`` of the module.
        file: name of the TOML file.
        table: the table that holds them; by default the whole file.

    Raises:
        ConfigError: there is no such table, or one that it refers to.
    """
    return _tables(Path(module).with_name(file)).expanded(tuple(table.split(".")) if table else ())


def load_presets(module: str, table: str) -> dict[str, dict[str, Any]]:
    """The presets in ``presets.toml``, such as ``[fig1.smoke]`` in the table ``"fig1"``, see ``load_tables``."""
    return load_tables(module, "presets.toml", table)


def preset_times(experiment: str) -> dict[str, int]:
    """Seconds that the presets of an experiment take on two cores, by preset; those that were never timed are absent.

    They are in ``times.toml``, which ``scripts/preset_times.py`` writes.
    """
    return load_tables(__file__, "times.toml").get(experiment, {})


def load_settings(module: str, file: str, kind: type[Kind], table: str = "") -> dict[str, dict[str, Kind]]:
    """Settings by the name of their set, such as ``"paper"``, and of what they are for, see ``load_tables``.

    Args:
        module: ``__file__`` of a module.
        file: name of a TOML file beside it that has one table per set, and in it one table for each dataclass.
        kind: the dataclass.
        table: the table that holds the sets; by default the whole file.

    Raises:
        ConfigError: a table is missing, a key is no field, or a value has the wrong type.
    """
    return {
        name: {key: kind(**checked(row, kind, f"{file}, {name}.{key}")) for key, row in rows.items()}
        for name, rows in load_tables(module, file, table).items()
    }


def checked(values: Mapping[str, Any], kind: type, where: str) -> dict[str, Any]:
    """Values by name, in the types that the fields of a dataclass have; errors say where the values were read.

    Raises:
        ConfigError: a name is no field, or a value has the wrong type.
    """
    hints, names, found = get_type_hints(kind), [field.name for field in fields(kind)], {}  # type: ignore[arg-type]
    for name, value in values.items():
        if name not in names:
            hint = did_you_mean(name, names)
            raise ConfigError(f"{where}: there is no field {name!r}{hint and f', {hint}'}")
        try:
            found[name] = _converted(value, hints[name])
        except TypeError:
            wanted = getattr(hints[name], "__name__", "") if isinstance(hints[name], type) else str(hints[name])
            raise ConfigError(f"{where}: {name} must be of type {wanted}, but is {value!r}") from None
    return found


def _converted(value: Any, hint: Any) -> Any:
    """A value from a TOML file as a type hint wants it: whole numbers may stand for floats, lists for tuples."""
    kind, arguments = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        for one in arguments:
            try:
                return _converted(value, one)
            except TypeError:
                continue
    elif kind is Literal:
        if value in arguments:
            return value
    elif kind is float and type(value) is int:
        return float(value)
    elif kind is tuple and isinstance(value, list | tuple):
        parts = [arguments[0]] * len(value) if arguments[1:] == (...,) else list(arguments)
        if len(parts) == len(value):
            return tuple(_converted(one, part) for one, part in zip(value, parts, strict=True))
    elif not isinstance(kind, type) or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
        return value
    raise TypeError


class _Tables:
    """The tables of a TOML file, with the keys that they take over from others."""

    def __init__(self, file: Path):
        self.name, self.top = file.name, tomllib.loads(file.read_text(encoding="utf-8"))

    def expanded(self, path: TablePath, followed: tuple[TablePath, ...] = ()) -> dict[str, Any]:
        """A table, and all tables in it. ``followed`` are the tables that are being expanded on the way to it."""
        path, table = self._found(path, followed)
        start = self.expanded(self._other(path, table), (*followed, path)) if "like" in table else {}
        own = {name: with_tuples(value) for name, value in table.items() if name != "like"}
        tables = {name: self.expanded((*path, name)) for name, value in own.items() if isinstance(value, dict)}
        return start | own | tables

    def _found(self, path: TablePath, followed: tuple[TablePath, ...]) -> tuple[TablePath, dict[str, Any]]:
        """The path and the keys of a table, which may be inherited from a table that one around it is like."""
        if path in followed:
            raise ConfigError(f"{self.name}: [{'.'.join(path)}] is like itself")
        table = self.top
        for depth, part in enumerate(path):
            if part not in table and "like" in table:
                return self._found((*self._other(path[:depth], table), *path[depth:]), (*followed, path))
            if part not in table:
                raise ConfigError(f"{self.name}: there is no table [{'.'.join(path)}]")
            table = table[part]
        return path, table

    def _other(self, path: TablePath, table: dict[str, Any]) -> TablePath:
        """The table that the one with this path is like."""
        other = table["like"]
        return tuple(other.split(".")) if "." in other else (*path[:-1], other)


_tables = cache(_Tables)
