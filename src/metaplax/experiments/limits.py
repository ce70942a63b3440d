"""Refuses studies that cannot fit the memory of this machine or would not end, by an estimate on shapes alone."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import jax

from metaplax.experiments.base import AbstractStudy, ConfigError

GIGABYTE = 1e9
MAKE_SMALLER = "ask for fewer trials, a smaller meta_batch, smaller networks or shorter episodes"
DAY = 86400.0
LONGEST = 10 * DAY
"""Seconds that a study may take at the peak speed of a device, which real programs stay far below."""
PEAK = {"cpu": 2e11}
"""Floating-point operations per second that no device of a kind exceeds: of a CPU, one core is a device."""
PEAK_OF_OTHERS = 2e15
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def require_fit(make: Callable[[], Mapping[str, AbstractStudy]], trials: int, asked: Any, usual: Any) -> None:
    """Refuse studies that need more memory than there is, or far too much time, before any array of them is made.

    Args:
        make: makes the studies.
        trials: independent repetitions.
        asked: the dataclass whose fields say how large the studies are.
        usual: the same dataclass with fields of a usual size, to tell which field is to blame.

    Raises:
        ConfigError: a study cannot fit; the message is one sentence with the estimate and the field.
    """
    there, speed = available(), peak_speed()
    try:
        estimates = _estimates(make, trials)
    except OverflowError as error:
        raise ConfigError(f"an array would have more numbers than can be counted: {_advice(asked, usual)}") from error
    for name, (needed, operations) in estimates.items():
        if there is not None and needed > there:
            raise ConfigError(
                f"study {name!r} needs at least {needed / GIGABYTE:,.1f} GB of memory, and there are"
                f" {there / GIGABYTE:,.1f} GB: {_advice(asked, usual)}"
            )
        if operations > LONGEST * speed:
            raise ConfigError(
                f"study {name!r} would take at least {operations / speed / DAY:,.0f} days at the peak speed of this"
                f" machine: {_advice(asked, usual)}"
            )


def peak_speed() -> float:
    """Floating-point operations per second that the devices in use do not exceed together."""
    devices = jax.local_devices()
    return len(devices) * PEAK.get(devices[0].platform, PEAK_OF_OTHERS)


def available() -> int | None:
    """Bytes of memory of the device that computes, or of this machine if that is a CPU; ``None`` if nobody says."""
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        return (device.memory_stats() or {}).get("bytes_limit")
    limits = []
    with suppress(AttributeError, ValueError, OSError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(ValueError, OSError):
        limits.append(int(CONTAINER_LIMIT.read_text()))
    return min(limits, default=None)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory has run out, on a device or elsewhere."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def _estimates(make: Callable[[], Mapping[str, AbstractStudy]], trials: int) -> dict[str, tuple[int, int]]:
    """Bytes and floating-point operations that every study needs at the least, by name."""
    found: dict[str, tuple[int, int]] = {}

    def estimate() -> None:
        found.update({name: (study.memory(trials), study.operations(trials)) for name, study in make().items()})

    # Traced, so that even the arrays that studies are made of are shapes only. Some need values to be made; and what
    # cannot be made at all says so in its own words, to which tracing would add.
    try:
        jax.eval_shape(estimate)
    except Exception:
        estimate()
    return found


def _advice(asked: Any, usual: Any) -> str:
    """What to make smaller: the field of whole numbers that has grown most from its usual size."""
    sizes = {
        field.name: (_size(getattr(asked, field.name)), _size(getattr(usual, field.name))) for field in fields(asked)
    }
    grown = {name: size / before for name, (size, before) in sizes.items() if name != "seed" and size > before > 0}
    if not grown:
        return MAKE_SMALLER
    name = max(grown, key=lambda name: grown[name])
    return f"make {name} smaller, which is {getattr(asked, name)}, where {getattr(usual, name)} is usual"


def _size(value: Any) -> int:
    """A whole number, or the sum of several; otherwise 0."""
    numbers = value if isinstance(value, tuple) else (value,)
    return sum(one for one in numbers if isinstance(one, int) and not isinstance(one, bool))
