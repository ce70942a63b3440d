"""``metaplax sweep``: leaves to other processes what needs JAX, and prints what has become of the runs."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from metaplax.cli.console import to_json
from metaplax.sweeps.local import LOG, conduct_here

FAILED = 1
STOPPED = 130
WORKER = ("-m", "metaplax", "sweep-worker")
"""What starts a worker; a verb for no one else."""


def is_conducted_here(arguments: list[str]) -> bool:
    """Whether a command starts or resumes runs on this machine, rather than elsewhere or none."""
    if not arguments or arguments[0] == "status" or {"-h", "--help", "--dry-run"} & {*arguments}:
        return False
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--on", nargs="?", default="local")
    return parser.parse_known_args(arguments)[0].on == "local"


def sweep(arguments: list[str]) -> int:
    """Conduct a sweep by workers on this machine; returns the exit code."""
    code, told = conduct_here(WORKER, arguments)
    return conclude(told) if told else code


def conclude(told: dict[str, Any]) -> int:
    """Print what has become of the runs of a sweep, and how to go on; returns the exit code."""
    folder = told["sweep"]
    if told["json"]:
        print(to_json({name: told[name] for name in ("sweep", "report", "states", "failed")}))
    else:
        print(told["summary"], f"sweep folder  {folder}", sep="\n")
        if told["report"]:
            print(f"report        {told['report']}")
    for name, error in told["failed"].items():
        print(f"metaplax: {name} failed: {error}", file=sys.stderr)
    if told.get("ended"):
        print(f"metaplax: {told['ended']}", file=sys.stderr)
        return FAILED
    if not told["unfinished"]:
        return 0
    reason = f"see also {folder}/{LOG}; " if Path(folder, LOG).exists() else ""
    reason = f"stopped by {told['stopped']}; " if told.get("stopped") else reason
    how = "go on" if told.get("stopped") else "try again"
    print(f"metaplax: {reason}{how} with: metaplax sweep resume {folder}", file=sys.stderr)
    return STOPPED if told.get("stopped") else FAILED
