"""Write ``times.toml``: how long the presets of every experiment take on two cores.

Usage: ``.venv/bin/python -m scripts.preset_times [--run PRESET ...] [--only NAME ...] [--data-dir DIR]``. Results that
are kept tell how long the presets took that made them. ``--run`` runs other presets and counts their processor time, of
which a run uses about 1.5 seconds per second on two cores; so their times hold on a machine that does other work, too.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from metaplax import experiments
from metaplax.experiments import presets
from metaplax.experiments.stored_config import stored
from scripts.kept_results import kept, names
from scripts.reproduce import configuration, manifest, older

TIMES = Path(presets.__file__).with_name("times.toml")
BUSY = 1.5
"""Cores that a run keeps busy, of two."""


def of_kept_results() -> dict[tuple[str, str], float]:
    """Seconds by experiment and preset, of the results that were made by a preset as it is."""
    found = {}
    for name, entry in manifest().items():
        if name in names() and not older(name, entry) and len(entry["runs"]) == 1:
            (command,) = entry["runs"]
            kind = experiments.lookup(command.split()[2])
            for preset in kind.presets:
                if stored(experiments.configure(kind, preset)) == configuration(command):
                    found[kind.name, preset] = 3600 * kept(name).hours
    return found


def measured(experiment: str, preset: str, data_dir: str) -> float:
    """Seconds that a run takes on two cores, from its processor time."""
    before = _processor_seconds()
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "metaplax", "run", experiment, "--preset", preset, "--out", out]
        subprocess.run([*command, *(["--data-dir", data_dir] if data_dir else [])], check=True, capture_output=True)
    return (_processor_seconds() - before) / BUSY


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rounded(seconds: float) -> int:
    """A time with two digits: another machine takes another time anyway."""
    return int(float(f"{max(1.0, seconds):.2g}"))


def write(times: dict[str, dict[str, int]]) -> None:
    """Write the file, in the order of the experiments and of their presets."""
    lines = ["# Seconds that presets take on two cores, see scripts/preset_times.py, which writes this file."]
    for name in filter(times.__contains__, experiments.names()):
        known = [preset for preset in experiments.lookup(name).presets if preset in times[name]]
        lines.append(f'"{name}" = {{ {", ".join(f"{preset} = {times[name][preset]}" for preset in known)} }}')
    TIMES.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs="+", default=[], metavar="PRESET", help="presets to run and to time")
    parser.add_argument("--only", nargs="+", default=experiments.names(), metavar="NAME", help="experiments to time")
    parser.add_argument("--data-dir", default="", help="folder of the data")
    asked = parser.parse_args()
    times = tomllib.loads(TIMES.read_text(encoding="utf-8")) if TIMES.exists() else {}
    of_kept = of_kept_results()
    for (name, preset), seconds in of_kept.items():
        times.setdefault(name, {})[preset] = rounded(seconds)
    write(times)
    for name in asked.only:
        for preset in asked.run:
            if preset in experiments.lookup(name).presets and (name, preset) not in of_kept:
                times.setdefault(name, {})[preset] = rounded(measured(name, preset, asked.data_dir))
                print(f"{name} {preset}: {times[name][preset]} s", flush=True)
                write(times)
    return 0


if __name__ == "__main__":
    sys.exit(main())
