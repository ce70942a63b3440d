"""The run folder: all that a run keeps, in files that any program can read.

``config.json`` (the configuration), ``env.json`` (versions and machine), ``metrics.jsonl`` (one object per study and
step, and a last one per study with ``"final": true`` and the values after the last step), ``checkpoints/``,
``figures/``, ``result.json`` and ``report.html``.
"""

import json
import math
import os
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from metaplax._files import make_folder, refuse_links, sweep, write_whole
from metaplax.runs.checksums import sealed, unsealed
from metaplax.runs.machine import environment
from metaplax.runs.metrics import Metrics, covered, refuse_foreign
from metaplax.runs.old_names import translate_config
from metaplax.runs.schema import Config, Env, RunFolderError, check, damage, explaining, read_object


def refuse_undecodable(path: Path) -> None:
    """Raise ``RunFolderError`` for a path that is not text: no checkpoint could be written there."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise RunFolderError(f"{path} cannot be written: checkpoints need a path in UTF-8, so take another") from error


def fresh_name(experiment: str) -> str:
    """A name for a folder that there is not yet: of the experiment, with the time and an id."""
    return f"{experiment.replace('/', '-')}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


class RunFolder:
    """A run folder on disk.

    Only one process may write to it at a time: see ``writing``.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self.metrics = Metrics(self.path / "metrics.jsonl")

    @staticmethod
    def create(parent: Path | str, experiment: str, config: dict[str, Any], name: str = "") -> "RunFolder":
        """Make a new folder in ``parent`` and write its configuration.

        Args:
            parent: where it is made.
            experiment: name of the experiment.
            config: the configuration.
            name: of the folder, which may exist, but not hold a configuration; by default
                ``<experiment>-<time>-<id>``.

        Raises:
            RunFolderError: the folder cannot be written, or the run in it has begun.
        """
        folder = RunFolder(Path(parent) / (name or fresh_name(experiment)))
        refuse_undecodable(folder.path)
        with explaining(Path(parent)):
            refuse_links(folder.path)
            folder.path.mkdir(parents=True, exist_ok=bool(name))
        with folder.writing():
            if (folder.path / "config.json").exists():
                raise RunFolderError(f"the run in {folder.path} has begun already: resume it")
            folder._begin(experiment, config)
        return folder

    def _begin(self, experiment: str, config: dict[str, Any]) -> None:
        asked = {"experiment": experiment, "config": config.get("config", {})}
        self.write_json("env.json", {**environment(), "asked": asked})
        # Last, because a folder with a config is one that can be resumed.
        self.write_json("config.json", config)

    @staticmethod
    def open(path: Path | str) -> "RunFolder":
        """An existing run folder.

        Raises:
            RunFolderError: the path is not that of a run folder.
        """
        folder = RunFolder(path)
        if not (folder.path / "config.json").is_file():
            raise RunFolderError(f"{path} is not a run folder: it holds no config.json")
        return folder

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Lock the folder for writing; the lock is released when the process ends, for whatever reason.

        Raises:
            RunFolderError: another process holds it.
        """
        refuse_undecodable(self.path)
        with explaining(self.path):
            refuse_links(self.path / ".lock")
            try:
                lock = FileLock(self.path / ".lock").acquire(timeout=0)
            except Timeout:
                raise RunFolderError(f"another process is writing to {self.path}: wait for it, or stop it") from None
        with lock, closing(self), self.metrics.alone():
            with explaining(self.path):
                sweep(self.path)
            yield

    def close(self) -> None:
        """Close the metrics file, if it is open; the next row opens it again."""
        self.metrics.close()

    @property
    def metrics_path(self) -> Path:
        """The file with one object per study and step."""
        return self.metrics.path

    def config(self) -> dict[str, Any]:
        """The configuration, with today's names also if an earlier version wrote it.

        Raises:
            RunFolderError: the file is missing, damaged, or not that of a run.
        """
        path, config = self.path / "config.json", self.read_json("config.json")
        with damage(path):
            config = translate_config(config)
        missing = sorted(Config.__required_keys__ - config.keys())
        if missing:
            raise RunFolderError(f"{path} is not that of a run: it has no {', '.join(missing)}")
        with damage(path):
            check(config, Config)
        return config

    def env(self) -> dict[str, Any]:
        """Versions, settings, machine and command that the run was started with, and what was asked for.

        Raises:
            RunFolderError: the file is missing or damaged.
        """
        env = self.read_json("env.json")
        with damage(self.path / "env.json"):
            check(env, Env)
        return env

    def read_json(self, name: str) -> dict[str, Any]:
        """Parse one of the folder's files.

        Raises:
            RunFolderError: it is missing or damaged.
        """
        value, path = read_object(self.path / name), self.path / name
        with damage(path):
            return unsealed(value)

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write one of the folder's files, all or nothing."""
        text = json.dumps(sealed(finite(value)), indent=1, ensure_ascii=False, allow_nan=False)
        self.write_text(name, text + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write one of the folder's files, all or nothing.

        Raises:
            RunFolderError: it cannot be written; what was there before is still there.
        """
        path = self.path / name
        with explaining(path):
            make_folder(path.parent, below=self.path)
            # Paths need not be text: in JSON the bytes that are none are escaped, and read back as they were.
            write_whole(path, text.encode(errors="backslashreplace"))

    def append(self, row: dict[str, Any]) -> None:
        """Add one line to the metrics."""
        self.metrics.append(row)

    def flush(self) -> None:
        """Make sure that the metrics are on the disk."""
        if self.metrics.descriptor is not None:
            with explaining(self.metrics_path):
                os.fsync(self.metrics.descriptor)

    def rows(self, known: Collection[str] | None = None) -> list[dict[str, Any]]:
        """All complete lines of the metrics, study by study; a last line that a crash cut short is left out.

        Args:
            known: names of the studies that there may be, all lines of which hold the same values; by default any.

        Raises:
            RunFolderError: the file is damaged, or has lines of other studies.
        """
        found = self.metrics.by_study()
        if known is not None:
            refuse_foreign(found, known, self.metrics_path)
        return [row for of_study in found.values() for row in of_study]

    def drop_rows(self, study: str, done: int, steps: int | None = None) -> None:
        """Delete the rows of a study after its first ``done`` steps.

        Args:
            study: its name.
            done: number of steps whose rows stay.
            steps: number of steps in all, by default ``done``.

        Raises:
            RunFolderError: fewer than ``done`` steps were recorded.
        """
        found = self.metrics.by_study()
        rows = found.get(study, [])
        kept = [row for row in rows if row["step"] < done]
        if covered(kept, done if steps is None else steps) < done:
            raise RunFolderError(
                f"{self.metrics_path} holds {len(kept)} of the {done} steps of {study!r} that its checkpoint has done:"
                f" put back a copy of it, or delete {self.path / 'checkpoints' / study} to start this study again"
            )
        if len(kept) < len(rows):
            self.metrics.replace({**found, study: kept})


def finite(value: Any) -> Any:
    """The same value with NaN and infinities, which JSON does not have, replaced by null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
