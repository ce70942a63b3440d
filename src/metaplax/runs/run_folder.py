"""The run folder: all that a run keeps, in files that any program can read.

``config.json`` (the configuration), ``env.json`` (versions and machine), ``metrics.jsonl`` (one object per study and
step, and a last one per study with ``"final": true`` and the values after the last step), ``checkpoints/``,
``figures/``, ``result.json`` and ``report.html``.
"""

import json
import math
import os
import platform
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import jax
from filelock import FileLock, Timeout

from metaplax._version import __version__
from metaplax.runs.old_names import translate_config, translate_row

CONFIG_KEYS = {
    "checkpoint_seconds", "config", "data", "data_dir", "data_sha256", "experiment", "preset", "published", "report",
    "source", "studies", "title",
}  # fmt: skip
LIBRARIES = ("jax", "jaxlib", "equinox", "optax", "numpy", "orbax-checkpoint")


class RunFolderError(Exception):
    """A run folder cannot be read, written or used; the message is one sentence."""


@contextmanager
def explaining(path: Path, doing: str = "written") -> Iterator[None]:
    """Turn an error of the operating system into one sentence."""
    try:
        yield
    except OSError as error:
        raise RunFolderError(f"{path} cannot be {doing}: {error.strerror or error}") from error


class RunFolder:
    """A run folder on disk.

    Only one process may write to it at a time: see ``writing``.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self._metrics: IO[str] | None = None

    @staticmethod
    def create(parent: Path | str, experiment: str, config: dict[str, Any]) -> "RunFolder":
        """Make a new folder ``<experiment>-<time>-<id>`` in ``parent`` and write its configuration.

        Raises:
            RunFolderError: the folder cannot be written.
        """
        stamp = time.strftime("%Y%m%d-%H%M%S")
        path = Path(parent) / f"{experiment.replace('/', '-')}-{stamp}-{secrets.token_hex(2)}"
        with explaining(Path(parent)):
            path.mkdir(parents=True)
        folder = RunFolder(path)
        folder.write_json("env.json", environment())
        # Last, because a folder with a config is one that can be resumed.
        folder.write_json("config.json", config)
        return folder

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
        with explaining(self.path):
            try:
                lock = FileLock(self.path / ".lock").acquire(timeout=0)
            except Timeout:
                raise RunFolderError(f"another process is writing to {self.path}: wait for it, or stop it") from None
        with lock, closing(self):
            yield

    def close(self) -> None:
        """Close the metrics file, if it is open; the next row opens it again."""
        if self._metrics is not None:
            metrics, self._metrics = self._metrics, None
            with explaining(self.metrics_path):
                metrics.close()

    @property
    def metrics_path(self) -> Path:
        """The file with one object per study and step."""
        return self.path / "metrics.jsonl"

    def config(self) -> dict[str, Any]:
        """The configuration, with today's names also if an earlier version wrote it.

        Raises:
            RunFolderError: the file is missing, damaged, or not that of a run.
        """
        config = self.read_json("config.json")
        try:
            config = translate_config(config)
        except (KeyError, TypeError, AttributeError) as error:
            raise RunFolderError(f"{self.path / 'config.json'} is not that of a run: {error!r}") from error
        missing = sorted(CONFIG_KEYS - config.keys())
        if missing:
            raise RunFolderError(f"{self.path / 'config.json'} is not that of a run: it has no {', '.join(missing)}")
        return config

    def read_json(self, name: str) -> dict[str, Any]:
        """Parse one of the folder's files.

        Raises:
            RunFolderError: it is missing or damaged.
        """
        path = self.path / name
        with explaining(path, "read"):
            content = path.read_bytes()
        try:
            value = json.loads(content)
        except ValueError as error:
            raise RunFolderError(f"{path} is damaged: {error}") from error
        if not isinstance(value, dict):
            raise RunFolderError(f"{path} is damaged: it holds no object")
        return value

    def write_json(self, name: str, value: Any) -> None:
        """Write one of the folder's files, all or nothing."""
        self.write_text(name, json.dumps(finite(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write one of the folder's files, all or nothing.

        Raises:
            RunFolderError: it cannot be written; what was there before is still there.
        """
        path = self.path / name
        partial = path.with_name(path.name + ".partial")
        with explaining(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(path)

    def append(self, row: dict[str, Any]) -> None:
        """Add one line to the metrics."""
        with explaining(self.metrics_path):
            if self._metrics is None:
                self._metrics = self.metrics_path.open("a", encoding="utf-8")
            self._metrics.write(json.dumps(finite(row), allow_nan=False) + "\n")
            self._metrics.flush()

    def flush(self) -> None:
        """Make sure that the metrics are on the disk."""
        if self._metrics is not None:
            with explaining(self.metrics_path):
                os.fsync(self._metrics.fileno())

    def rows(self) -> list[dict[str, Any]]:
        """All complete lines of the metrics, with today's names; a last line that a crash cut short is left out."""
        if not self.metrics_path.exists():
            return []
        with explaining(self.metrics_path, "read"):
            lines = self.metrics_path.read_bytes().splitlines()
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                row = translate_row(row) if isinstance(row, dict) else {}
                if not {"study", "step"} <= row.keys():
                    raise ValueError("it has no study and step")
                rows.append(row)
            except ValueError as error:
                if number < len(lines):
                    raise RunFolderError(f"line {number} of {self.metrics_path} is damaged: {error}") from error
        return rows

    def drop_rows(self, study: str, done: int) -> None:
        """Delete the rows of a study after its first ``done`` steps.

        Raises:
            RunFolderError: fewer than ``done`` steps were recorded.
        """
        rows = self.rows()
        kept = [row for row in rows if row["study"] != study or row["step"] < done]
        recorded = sum(row["study"] == study for row in kept)
        if recorded != done:
            raise RunFolderError(
                f"{self.metrics_path} holds {recorded} of the {done} steps of {study!r} that its checkpoint has done"
            )
        if len(kept) < len(rows) or not _ends_with_newline(self.metrics_path):
            self.close()
            self.write_text(self.metrics_path.name, "".join(json.dumps(row, allow_nan=False) + "\n" for row in kept))


def finite(value: Any) -> Any:
    """The same value with NaN and infinities, which JSON does not have, replaced by null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def environment() -> dict[str, Any]:
    """Versions, machine and command of this process."""
    devices, program = jax.devices(), Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name
    return {
        "command": [name, *sys.argv[1:]],
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "devices": [f"{device.platform}: {device.device_kind}" for device in devices],
        "libraries": {"metaplax": __version__, **{name: version(name) for name in LIBRARIES}},
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _commit() -> str | None:
    here = Path(__file__).parent
    try:
        asked = ["git", "-C", str(here), "rev-parse", "HEAD"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _ends_with_newline(path: Path) -> bool:
    return not path.exists() or path.stat().st_size == 0 or path.read_bytes().endswith(b"\n")
