"""What a sweep will cost: two steps of every study of some of its settings are timed, and their files are counted."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from metaplax import reports
from metaplax.experiments import AbstractExperiment, Conditions, RunOptions
from metaplax.experiments.runner import planned
from metaplax.runs import (
    AbstractProgress,
    CheckpointError,
    FolderRecorder,
    Interrupted,
    Interruption,
    RunFolder,
    use_compilation_cache,
)
from metaplax.runs.checkpoints import KEEP
from metaplax.runs.progress import Advance
from metaplax.runs.thinning import MOST_ROWS

STEPS = 2
"""Steps that are taken of every study; the last one is timed."""
SECONDS = 60.0
"""Time after which no further setting is timed."""


class StopEarly(AbstractProgress):
    """Asks to stop after a few steps."""

    def __init__(self, interruption: Interruption):
        self.interruption = interruption

    @contextmanager
    def track(self, steps: int, first: int) -> Iterator[Advance]:
        del steps
        done = first

        def advance(row: object) -> None:
            nonlocal done
            del row
            done += 1
            if done >= STEPS:
                self.interruption.requested = "the end of the calibration"

        yield advance


def estimate(
    settings: Sequence[AbstractExperiment], count: int, seeds: int, options: RunOptions, workers: int
) -> dict[str, Any]:
    """Runs, CPU-hours, hours with so many workers and disk space of a sweep.

    The cost of settings that are not timed is taken to be the mean of those that are. There are ``count`` settings, of
    which those of a search are not known yet: then ``settings`` are the corners of what it searches.

    Raises:
        ConfigError: a setting cannot be run.
        DataError: the data are missing or damaged.
    """
    use_compilation_cache()
    began, costs, untimed = time.monotonic(), [], set()
    for experiment in settings:
        if costs and time.monotonic() - began > SECONDS:
            break
        seconds, size, missing = _cost(experiment, options)
        costs.append((seconds, size))
        untimed |= missing
    runs = count * seeds
    hours, size = (runs * sum(part) / len(costs) for part in zip(*costs, strict=True))
    return {
        "runs": runs,
        "settings": count,
        "seeds": seeds,
        "settings_timed": len(costs),
        "cpu_hours": hours / 3600,
        "hours": hours / 3600 / min(workers, runs),
        "workers": workers,
        "disk_gb": size / 1e9,
        "studies_not_timed": sorted(untimed),
    }


def _cost(experiment: AbstractExperiment, options: RunOptions) -> tuple[float, float, set[str]]:
    """CPU-seconds and bytes of a run, and the studies that cannot be timed, as they use what others have learned."""
    with tempfile.TemporaryDirectory(prefix="metaplax-") as place:
        before = time.process_time()
        studies, config = planned(experiment, RunOptions(options.preset, options.data_dir, Path(place)))
        folder = RunFolder.create(place, experiment.name, config)
        recorder = lambda name: FolderRecorder(folder, name, name)  # noqa: E731
        missing = set()
        with folder.writing():
            for name, study in studies.items():
                stop, key = Interruption(), jax.random.key(experiment.seed)
                conditions = Conditions(key, experiment.trials, recorder(name), recorder, StopEarly(stop), stop)
                try:
                    study.conduct(conditions)
                except Interrupted:
                    pass
                except CheckpointError:
                    missing.add(name)
        reports.write([folder.path], folder.path / "report.html")
        spent = time.process_time() - before
        rows = [row for row in folder.rows() if "cpu_seconds" in row]
        size = _size(folder.path) + _size(folder.path / "checkpoints") * (KEEP - 1)
    last = {row["study"]: row["cpu_seconds"] for row in rows}
    setup = spent - sum(row["cpu_seconds"] for row in rows)
    steps = {name: study.steps for name, study in studies.items() if name in last}
    width = _line(rows)
    size += width * sum(min(count, MOST_ROWS) for count in steps.values())
    return setup + sum(count * last[name] for name, count in steps.items()), size, missing


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _line(rows: Sequence[dict[str, Any]]) -> float:
    """Bytes of a line of the metrics, on average."""
    return sum(len(str(row)) for row in rows) / max(len(rows), 1)
