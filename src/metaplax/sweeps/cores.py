"""Processor cores and GPUs that a worker has for itself, whoever else shares out runs on the same machine."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from filelock import FileLock, Timeout

from metaplax.runs.compilation_cache import UnsafeFolderError, make_private

_leases: list[FileLock] = []
"""Held until the process ends."""


@cache
def take(cores: int, gpu_share: float) -> None:
    """Once, before JAX starts, restrict this process to so many cores, or to a part of a GPU, that no other worker has.

    Where all are taken, some are shared; where the operating system does not let a program choose its cores, all are.
    The number of cores decides the number of JAX's devices, and with it last digits of results.
    """
    if graphics := gpus():
        slots = [f"{gpu}-{slot}" for slot in range(max(1, int(1 / gpu_share))) for gpu in graphics]
        taken = _leased("gpu", slots, 1) or slots[os.getpid() % len(slots) :][:1]
        os.environ["CUDA_VISIBLE_DEVICES"] = taken[0].rpartition("-")[0]
        if gpu_share < 1:
            os.environ["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 * gpu_share:.3f}"
    elif hasattr(os, "sched_setaffinity"):
        ours = sorted(os.sched_getaffinity(0))
        names = _leased("core", list(map(str, ours)), cores)
        start = os.getpid() % len(ours)
        os.sched_setaffinity(0, map(int, names) if names else (ours[start:] + ours[:start])[:cores])


def workers(cores: int, gpu_share: float) -> int:
    """How many workers fit this machine."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return len(gpus()) * int(1 / gpu_share) or max(1, there // cores)


def gpus() -> list[str]:
    """Names of the GPUs that JAX would use here; none, if it was installed without."""
    plugins = any((one.metadata["Name"] or "").startswith("jax-cuda") for one in distributions())
    if not plugins or os.environ.get("JAX_PLATFORMS", "").startswith("cpu"):
        return []
    if (asked := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in asked.split(",") if name]
    if not (program := shutil.which("nvidia-smi")):
        return []
    listed = subprocess.run([program, "--list-gpus"], capture_output=True, text=True).stdout
    return [str(index) for index, _ in enumerate(listed.splitlines())]


def _leased(kind: str, names: Sequence[str], count: int) -> list[str]:
    """So many of the names, held until this process ends; none, if there are not so many free ones."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"metaplax-leases-{user}"
    try:
        make_private(folder)
    except (UnsafeFolderError, OSError):
        return []
    held: list[tuple[str, FileLock]] = []
    for name in names:
        lock = FileLock(folder / f"{kind}-{name}")
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            continue
        held.append((name, lock))
        if len(held) == count:
            _leases.extend(lock for _, lock in held)
            return [name for name, _ in held]
    for _, lock in held:
        lock.release()
    return []
