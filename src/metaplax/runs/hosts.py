"""One run of several processes, on one machine or many: they agree on when to stop, and only the first one writes.

All processes take the same steps and know the same results. Each but the first keeps its run folder in a temporary
place, as a copy of the first one's, so that nothing in a study has to know of this.
"""

import hashlib
import io
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np

from metaplax.runs.schema import RunFolderError

PATIENCE = 60
"""Seconds to wait for the other processes when a run starts."""

ADDRESS = re.compile(r"\S+:\d+")
FLAGS = "--coordinator HOST:PORT --processes N --process 0 (1, ... N-1 on the others)"


class HostsError(RuntimeError):
    """The processes of a run do not find each other or do not fit together; the message is one sentence."""


def join_processes(coordinator: str = "", processes: int = 0, process: int = -1) -> None:
    """Become one process of a run of several; to be called before JAX has started.

    What is not given is taken from ``JAX_COORDINATOR_ADDRESS``, ``JAX_NUM_PROCESSES`` and ``JAX_PROCESS_ID``, or from
    SLURM or Open MPI.

    Args:
        coordinator: address and port of the process with the number 0.
        processes: how many there are.
        process: the number of this one.

    Raises:
        HostsError: something of this is missing or wrong, or the others do not answer.
    """
    coordinator = coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS", "")
    if coordinator and not ADDRESS.fullmatch(coordinator):
        raise HostsError(f"the coordinator is an address and a port, such as 10.0.0.1:9911, not {coordinator!r}")
    count = processes or _number("JAX_NUM_PROCESSES")
    number = process if process >= 0 else _number("JAX_PROCESS_ID")
    if count is not None and number is not None and not 0 <= number < count:
        raise HostsError(f"{count} processes are numbered 0 to {count - 1}, so that none is {number}")
    # Signals are heard by ``Interruption``.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator or None, count, number, initialization_timeout=PATIENCE, heartbeat_timeout_seconds=PATIENCE
        )
    except ValueError as error:
        raise HostsError(f"the processes of this run are not known: give {FLAGS}, or start them by srun") from error
    except RuntimeError as error:
        if "before" in str(error):
            raise HostsError("processes can be joined only before JAX has started, in a fresh Python") from error
        where = coordinator or "the one that the batch system names"
        raise HostsError(
            f"the other processes did not answer within {PATIENCE} s: is process 0 running, and is its address {where}"
            " reachable from here?"
        ) from error


def _number(variable: str) -> int | None:
    text = os.environ.get(variable)
    if text is None:
        return None
    if not text.isdecimal():
        raise HostsError(f"{variable} is a whole number, not {text!r}")
    return int(text)


def process_count() -> int:
    """How many processes take part in this run."""
    return jax.process_count() if jax.distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return process_count() == 1 or jax.process_index() == 0


def agreed(stop: bool, is_due: bool) -> tuple[bool, bool]:
    """What all processes do after a step: stop, as soon as one of them is to; and write a checkpoint when the first is.

    All of them have to call this after the same step.
    """
    if process_count() == 1:
        return stop, is_due
    flags = _gathered(np.array([stop, is_due]))
    return bool(flags[:, 0].any()), bool(flags[0, 1])


def require_same(text: str, what: str) -> None:
    """Refuse processes of which one has another text than the first.

    Raises:
        HostsError: one has; the message names it and ``what`` differs.
    """
    if process_count() == 1:
        return
    digests = _gathered(np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8))
    others = np.flatnonzero((digests != digests[0]).any(axis=1))
    if others.size:
        raise HostsError(
            f"process {others[0]} has another {what} than process 0: start all of them with the same options, data and"
            " versions"
        )


@contextmanager
def own_place(place: Path) -> Iterator[Path]:
    """The place for the first process, a temporary folder for the others."""
    if is_first():
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="metaplax-") as folder:
        yield Path(folder)


@contextmanager
def own_copy(source: Path | str) -> Iterator[Path]:
    """A folder of the first process: itself for that one, a temporary copy for the others.

    Raises:
        RunFolderError: the first process cannot read it.
        HostsError: the same, in the others.
    """
    with own_place(Path(source)) as place:
        if process_count() > 1:
            packed = _from_first(lambda: _packed(Path(source)))
            if not is_first():
                with zipfile.ZipFile(io.BytesIO(packed)) as archive:
                    archive.extractall(place)
        yield place


@contextmanager
def losses_explained() -> Iterator[None]:
    """Say in one sentence that another process is gone.

    Raises:
        HostsError: it is; where there are no others, errors stay as they are.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if process_count() == 1 or "RESOURCE_EXHAUSTED" in str(error):
            raise
        said = str(error).splitlines()[0][:200]
        raise HostsError(
            f"another process of this run was lost: start all of them again, with `metaplax resume` ({said})"
        ) from error


def leave(code: int) -> None:
    """End this process without waiting for others that may be gone, for which JAX would wait."""
    if process_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _packed(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != ".lock":
                archive.write(path, path.relative_to(folder))
    return packed.getvalue()


def _from_first(make: Callable[[], bytes]) -> bytes:
    """What the first process makes, for all of them."""
    from jax.experimental.multihost_utils import broadcast_one_to_all

    content, wrong = b"", None
    if is_first():
        try:
            content = make()
        except OSError as error:
            wrong = error
    size = int(broadcast_one_to_all(np.int32(-1 if wrong else len(content))))
    if wrong is not None:
        raise RunFolderError(f"{wrong.filename} cannot be read: {wrong.strerror}") from wrong
    if size < 0:
        raise HostsError("process 0 cannot read the run folder: see its message")
    mine = np.frombuffer(content, np.uint8) if is_first() else np.zeros(size, np.uint8)
    return np.asarray(broadcast_one_to_all(mine)).tobytes()


def _gathered(values: np.ndarray) -> np.ndarray:
    """The values of every process, with a leading axis of processes."""
    from jax.experimental.multihost_utils import process_allgather

    return np.asarray(process_allgather(values))
