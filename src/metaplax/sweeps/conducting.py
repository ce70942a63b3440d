"""Conducts one run of a sweep in a worker: from its last checkpoint on, if it has begun, and never twice."""

import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from metaplax import experiments, reports
from metaplax.data import DataError
from metaplax.experiments import AbstractExperiment, ConfigError, RunOptions
from metaplax.experiments.from_file import told as unexpected
from metaplax.experiments.limits import is_out_of_memory
from metaplax.experiments.stored_config import described_by
from metaplax.learners import IncompatibleError
from metaplax.runs import (
    AbstractProgress,
    CheckpointError,
    Interrupted,
    Interruption,
    RunFolder,
    RunFolderError,
    use_compilation_cache,
)
from metaplax.runs.progress import Advance
from metaplax.runs.schema import RunState, SweepPlan
from metaplax.runs.sweep_folder import PLAN, UNKNOWN, SweepFolder, value_text
from metaplax.training import DivergedError

EXPECTED = (
    ConfigError, IncompatibleError, DataError, RunFolderError, CheckpointError, DivergedError, OSError, MemoryError,
)  # fmt: skip
"""Errors whose message is one sentence."""
EVERY = 2.0
"""Seconds between two files that say how far a run is."""
BEAT = 20.0
"""Seconds between two signs of life of a run whose steps take longer."""
PATIENCE = 60.0
"""Seconds to wait for another process to let go of a run folder."""
STOP = "stop"
"""A file in the sweep folder with this name asks all workers, on whatever machine, to stop after the current step."""

Tell = Callable[[RunState], None]


class SweepProgress(AbstractProgress):
    """Tells which part of a run is done.

    Args:
        study: index of the study.
        studies: their number.
        told: is called with the part that is done; says whether to stop.
        interruption: is asked to stop, if so.
    """

    def __init__(self, study: int, studies: int, told: Callable[[float], bool], interruption: Interruption):
        self.study, self.studies, self.told, self.interruption = study, studies, told, interruption

    @contextmanager
    def track(self, steps: int, first: int) -> Iterator[Advance]:
        done, last = first, time.monotonic()

        def advance(row: object) -> None:
            nonlocal done, last
            del row
            done += 1
            if time.monotonic() - last >= EVERY:
                last = time.monotonic()
                if self.told((self.study + done / steps) / self.studies) and not self.interruption.requested:
                    self.interruption.requested = "its sweep"

        yield advance


def experiment_of(sweep: SweepFolder, run: dict[str, Any]) -> AbstractExperiment:
    """The experiment of a run of a sweep.

    Raises:
        RunFolderError: the plan does not describe an experiment of this version.
    """
    plan = sweep.plan
    given, code = {**plan["config"], **run["setting"], "seed": run["seed"]}, plan["code"]
    return described_by(sweep.path / PLAN, plan["experiment"], cast(Any, code), given)


def conduct(sweep: SweepFolder, name: str, interruption: Interruption, tell: Tell = lambda state: None) -> RunState:
    """Conduct a run until it is finished, fails, or is asked to stop; whatever happens, return what is known of it."""
    if sweep.is_finished(name):
        return sweep.state(name)
    began, known = time.monotonic(), RunState(**UNKNOWN)

    def told(state: str, **more: Any) -> RunState:
        about: Any = {"state": state, "seconds": round(time.monotonic() - began, 2), "host": socket.gethostname()}
        known.update(cast(Any, {**about, **more}))
        sweep.tell(name, known)
        tell(known)
        return known

    try:
        _await_lock(sweep.path / name)
        told("running", part=sweep.state(name)["part"])
        with _alive(sweep.path / "states" / f"{name}.json"):
            _conduct(sweep, name, interruption, lambda part, study: told("running", part=part, study=study))
        return told("finished", part=1.0, study="")
    except Interrupted as error:
        return told("stopped", error=str(error))
    except Exception as error:
        expected = isinstance(error, EXPECTED) or is_out_of_memory(error)
        if not expected:
            traceback.print_exc()
        said = "; ".join([str(error), *getattr(error, "__notes__", [])]) if expected else unexpected(error)
        return told("failed", error=" ".join(said.split()) or type(error).__name__)


def _conduct(sweep: SweepFolder, name: str, interruption: Interruption, told: Callable[[float, str], object]) -> None:
    """Run or resume, and write the report of the run.

    Raises:
        Exception: what a run raises.
    """
    path, run, plan = sweep.path / name, sweep.runs()[name], sweep.plan
    use_compilation_cache()
    studies: list[str] = []

    def progress(study: str) -> SweepProgress:
        studies[:] = studies or RunFolder(path).config()["studies"]

        def tell(part: float) -> bool:
            told(part, study)
            return (sweep.path / STOP).exists()

        return SweepProgress(studies.index(study), len(studies), tell, interruption)

    if (path / "config.json").is_file():
        experiments.resume(path, None, progress, interruption)
    else:
        experiment = experiment_of(sweep, run)
        sys.argv = _typed(experiment, plan)
        options = RunOptions(plan["preset"], plan["data_dir"], sweep.path, plan["checkpoint_seconds"])
        experiments.run(experiment, options, progress, interruption, name)
    reports.write([reports.read(path)], path / "report.html")


def _typed(experiment: AbstractExperiment, plan: SweepPlan) -> list[str]:
    """The command that starts such a run alone, which its ``env.json`` tells."""
    code, usual, options = plan["code"], experiments.configure(type(experiment), plan["preset"]), []
    for field in fields(experiment):
        value, name = getattr(experiment, field.name), field.name.replace("_", "-")
        if value != getattr(usual, field.name):
            flag = f"--{name}" if value else f"--no-{name}"
            options += [flag] if isinstance(value, bool) else [f"--{name}", *value_text(value).split(" ")]
    preset = ["--preset", plan["preset"]] if type(experiment).presets else []
    return ["metaplax", "run", f"{code['file']}:{code['name']}" if code else plan["experiment"], *preset, *options]


def _await_lock(path: Path) -> None:
    """Wait while another process, such as one that is stopping, writes to a run folder."""
    if path.is_dir() and not path.is_symlink() and not (path / ".lock").is_symlink():
        with suppress(Timeout), FileLock(path / ".lock").acquire(timeout=PATIENCE):
            pass


@contextmanager
def _alive(path: Path) -> Iterator[None]:
    """Give signs of life, by the time of a file, while a step takes long."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT):
            with suppress(OSError):
                path.touch()

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        over.set()
