"""Experiments, estimators and rules of one's own, in a Python file outside the package: ``FILE.py:Name``.

A file is only imported if the user names it, or if the configuration of a run folder that is resumed or evaluated
names it. A file in a run folder is never imported, since that may come from others.
"""

import hashlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType

import jax

from metaplax.estimators import AbstractEstimator
from metaplax.experiments.base import AbstractExperiment, ConfigError, did_you_mean
from metaplax.plasticity import Rule, rules

MODULE = "metaplax_experiments_of_"
"""Start of the names of modules that are imported from files."""


def is_in_file(name: str) -> bool:
    """Whether a name has the form ``FILE.py:Class``."""
    return name.rpartition(":")[0].endswith(".py")


def is_json(name: str) -> bool:
    """Whether a name is that of a JSON file."""
    return name.endswith(".json")


def absolute(name: str) -> str:
    """The same name, with the absolute path of the file if it is ``FILE.json`` or ``FILE.py:Class``."""
    if is_json(name):
        return str(Path(name).absolute())
    file, _, kind = name.rpartition(":")
    return f"{Path(file).absolute()}:{kind}" if is_in_file(name) else name


def load_from_file(file: Path | str, name: str) -> type[AbstractExperiment]:
    """Import a Python file, which can import others beside it, and return the experiment whose class has this name.

    Raises:
        ConfigError: the file is missing or cannot be imported, or has no such experiment; one sentence.
    """
    found = _named(file, name, is_experiment, "class", "experiments")
    return checked_kind(found, f"{name!r} in {Path(file).absolute()}")


def load_estimator(file_and_name: str) -> AbstractEstimator:
    """An estimator that ``FILE.py:Name`` names: an object, or a class that needs no arguments.

    Raises:
        ConfigError: the file is missing or cannot be imported, or has no such estimator; one sentence.
    """
    file, _, name = file_and_name.rpartition(":")
    value = found = _named(file, name, _is_estimator, "estimator", "estimators")
    if isinstance(found, type) and issubclass(found, AbstractEstimator):
        try:
            value = found()
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{file_and_name} cannot be made without arguments, name an object: {told(error)}"
            ) from error
    if not isinstance(value, AbstractEstimator):
        raise ConfigError(f"{file_and_name} is not an estimator: it must derive from AbstractEstimator")
    return value


def load_rule(name: str) -> Rule:
    """A learned rule by name, from ``FILE.json``, or from ``FILE.py:Name``: an object, or a function that makes one.

    Raises:
        ConfigError: there is no such rule, or the file is missing, damaged or cannot be imported; one sentence.
    """
    if not is_in_file(name):
        try:
            return rules.load(name)
        except OSError as error:
            raise ConfigError(f"{name} cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise ConfigError(str(error)) from error
    file, _, kind = name.rpartition(":")
    found = _named(file, kind, lambda value: isinstance(value, Rule) or callable(value), "rule", "rules")
    try:
        made = found if isinstance(found, Rule) else found()  # pyright: ignore[reportCallIssue]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} cannot be called without arguments, name an object: {told(error)}") from error
    if not isinstance(made, Rule):
        raise ConfigError(f"{name} is not a rule, nor a function that makes one: mp.rules.make(...) makes one")
    return made


def named_files(values: Mapping[str, object]) -> list[Path]:
    """The files that fields of an experiment name as ``FILE.py:Name`` or ``FILE.json``."""
    texts = [text for value in values.values() for text in (value if isinstance(value, list | tuple) else (value,))]
    named = [text if is_json(text) else text.rpartition(":")[0] for text in texts if isinstance(text, str)]
    named = [file for file in named if is_json(file) or file.endswith(".py")]
    return [Path(file) for file in dict.fromkeys(named)]


def checksum(path: Path) -> str:
    """The SHA-256 of a file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error


def refuse_in_folder(paths: Iterable[Path], folder: Path) -> None:
    """Refuse files in a run folder, and files that are not named by their full path.

    Raises:
        ConfigError: there is one.
    """
    for path in paths:
        if not path.is_absolute() or path.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(
                f"the file {path} of an experiment must be named by its full path and not be in a run folder"
            )


def load_recorded(code: Mapping[str, str], folder: Path) -> type[AbstractExperiment]:
    """The experiment that the configuration of a run folder names, see ``source``.

    Raises:
        ConfigError: as ``load_from_file``; or the file lies in the run folder, or only relative to the current one.
    """
    refuse_in_folder([Path(code["file"])], folder)
    return load_from_file(code["file"], code["name"])


def source(kind: type[AbstractExperiment]) -> dict[str, str] | None:
    """The ``file`` that an experiment was loaded from, its ``name`` there, and the file's ``sha256``; or ``None``."""
    if not kind.__module__.startswith(MODULE):
        return None
    module = sys.modules[kind.__module__]
    return {"file": str(module.__file__), "name": kind.__qualname__, "sha256": module.__sha256__}


def is_experiment(value: object) -> bool:
    """Whether a value is a class of experiments that can be run."""
    return isinstance(value, type) and issubclass(value, AbstractExperiment) and not inspect.isabstract(value)


def checked_kind(kind: object, where: str) -> type[AbstractExperiment]:
    """The same class; refuses what is no experiment, by a ``ConfigError`` that begins with ``where``."""
    if not is_experiment(kind):
        raise ConfigError(f"{where} is not an experiment: it must derive from AbstractExperiment and define studies")
    return kind  # pyright: ignore[reportReturnType]


def told(error: BaseException) -> str:
    """An unexpected error on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _is_estimator(value: object) -> bool:
    return isinstance(value, AbstractEstimator) or (isinstance(value, type) and issubclass(value, AbstractEstimator))


def _named(file: Path | str, name: str, is_wanted: Callable[[object], bool], what: str, several: str) -> object:
    """What has this name in a Python file, which is imported; if it is neither a class nor wanted, that is refused."""
    path = Path(file).absolute()
    if not os.path.isfile(path):
        raise ConfigError(f"there is no file {path}")
    module = _imported(path)
    value = getattr(module, name, None)
    if not is_wanted(value) and not isinstance(value, type):
        own = [key for key, it in vars(module).items() if is_wanted(it) and it.__module__ == module.__name__]
        hint = did_you_mean(name, own, f"its {several} are {', '.join(own) or 'none'}")
        raise ConfigError(f"there is no {what} {name!r} in {path}: {hint}")
    return value


def _imported(path: Path) -> ModuleType:
    """The module of a file, imported once per process, and again if the file has changed."""
    found = checksum(path)
    name = f"{MODULE}{path.stem}_{hashlib.sha256(f'{path} {found}'.encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    module.__dict__["__sha256__"] = found
    sys.path.insert(0, str(path.parent))
    try:
        # Also where studies are made on shapes alone, what a file makes at its top is made once and for good.
        with jax.ensure_compile_time_eval():
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ConfigError(f"{path} cannot be imported: {told(error)}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module
