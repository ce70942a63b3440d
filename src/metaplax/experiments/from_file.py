"""Experiments of one's own, in a Python file outside the package: ``FILE.py:Class``.

A file is only imported if the user names it, or if the configuration of a run folder that is resumed or evaluated
names it as the file of its own experiment.
"""

import hashlib
import importlib.util
import inspect
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from metaplax.experiments.base import AbstractExperiment, ConfigError

MODULE = "metaplax_experiments_of_"
"""Start of the names of modules that are imported from files."""


@dataclass(frozen=True)
class Source:
    """Where an experiment of one's own comes from.

    Attributes:
        file: absolute path of the Python file.
        name: name of the class in it.
        sha256: checksum of the file.
    """

    file: str
    name: str
    sha256: str


def is_in_file(name: str) -> bool:
    """Whether a name has the form ``FILE.py:Class``."""
    return name.rpartition(":")[0].endswith(".py")


def absolute(name: str) -> str:
    """The same name, with the absolute path of the file if it has the form ``FILE.py:Class``."""
    file, _, kind = name.rpartition(":")
    return f"{Path(file).absolute()}:{kind}" if is_in_file(name) else name


def load_from_file(file: Path | str, name: str) -> type[AbstractExperiment]:
    """Import a Python file and return one of its experiments.

    While the file is imported, it can import others beside it.

    Args:
        file: path of the file.
        name: name of the class.

    Raises:
        ConfigError: the file is missing or cannot be imported, or has no such experiment; one sentence.
    """
    path = Path(file).absolute()
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    module = _imported(path)
    if not isinstance(getattr(module, name, None), type):
        own = [
            key for key, value in vars(module).items() if is_experiment(value) and value.__module__ == module.__name__
        ]
        near = get_close_matches(name, own, 1, 0.4)
        hint = f"did you mean {near[0]!r}" if near else f"its experiments are {', '.join(own) or 'none'}"
        raise ConfigError(f"there is no class {name!r} in {path}: {hint}")
    return checked_kind(getattr(module, name), f"{name!r} in {path}")


def source(kind: type[AbstractExperiment]) -> Source | None:
    """The file of an experiment that was loaded from a file; ``None`` for all others."""
    if not kind.__module__.startswith(MODULE):
        return None
    module = sys.modules[kind.__module__]
    return Source(str(module.__file__), kind.__qualname__, module.__sha256__)


def is_experiment(value: object) -> bool:
    """Whether a value is a class of experiments that can be run."""
    return isinstance(value, type) and issubclass(value, AbstractExperiment) and not inspect.isabstract(value)


def checked_kind(kind: object, where: str) -> type[AbstractExperiment]:
    """The same class; refuses what is not an experiment.

    Raises:
        ConfigError: one sentence that begins with ``where``.
    """
    if not is_experiment(kind):
        raise ConfigError(f"{where} is not an experiment: it must derive from AbstractExperiment and define studies")
    return kind  # pyright: ignore[reportReturnType]


def told(error: Exception) -> str:
    """An unexpected error on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _imported(path: Path) -> ModuleType:
    """The module of a file, imported once per process, and again if the file has changed."""
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    name = f"{MODULE}{path.stem}_{hashlib.sha256(f'{path} {checksum}'.encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    module.__dict__["__sha256__"] = checksum
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(f"{path} cannot be imported: {told(error)}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module
