"""What the numbers of a run depend on besides its configuration: versions, settings of JAX, and the machine."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from metaplax._version import __version__

LIBRARIES = ("jax", "jaxlib", "equinox", "optax", "numpy", "orbax-checkpoint")
DECISIVE = ("jax_default_prng_impl", "jax_threefry_partitionable", "jax_enable_x64")
"""Settings that decide which random numbers are drawn: a run cannot go on with others."""
ROUNDING = ("jax_default_matmul_precision",)
"""Settings that change last digits."""


def environment() -> dict[str, Any]:
    """Versions, settings of JAX, machine and command of this process."""
    devices, program = jax.devices(), Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name
    return {
        "command": [name, *sys.argv[1:]],
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "devices": [f"{device.platform}: {device.device_kind}" for device in devices],
        "settings": {name: getattr(jax.config, name) for name in (*DECISIVE, *ROUNDING)},
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "libraries": {"metaplax": __version__, **{name: version(name) for name in LIBRARIES}},
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What differs between two environments: settings that decide random numbers, and all that changes last digits.

    What one of them does not say, as those of earlier versions, is not compared.
    """
    then, today = _flat(before), _flat(now)
    found = {
        name: f"{name} {then[name]!r} is now {value!r}"
        for name, value in today.items()
        if name in then and then[name] != value
    }
    return [found.pop(name) for name in DECISIVE if name in found], list(found.values())


def _flat(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What is compared of an environment, by name."""
    parts = [environment.get(name) for name in ("settings", "libraries")]
    found = {name: value for part in parts if isinstance(part, Mapping) for name, value in part.items()}
    found |= {name: environment[name] for name in ("cores", "xla_flags", "devices") if name in environment}
    return found


def _commit() -> str | None:
    here = Path(__file__).parent
    try:
        asked = ["git", "-C", str(here), "rev-parse", "HEAD"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
