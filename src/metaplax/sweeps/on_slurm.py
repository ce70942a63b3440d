"""Submits the runs of a sweep to SLURM as one job array, and does not wait for them."""

import shutil
from collections.abc import Sequence
from typing import Any

from metaplax.experiments import ConfigError
from metaplax.runs.sweep_folder import SweepFolder
from metaplax.sweeps.cluster_task import conduct_alone

MOST_AT_ONCE = 256


class Job:
    """A run as submitit calls it; at the end of its time it is submitted again, and goes on from its checkpoint."""

    def __call__(self, path: str, name: str) -> str:
        return conduct_alone(path, name)["state"]

    def checkpoint(self, path: str, name: str) -> Any:
        """What to submit in place of a job whose time is over."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, path, name)


def submit(sweep: SweepFolder, names: Sequence[str], options: Sequence[str], most: int, cluster: str = "slurm") -> list:
    """Submit runs; returns the jobs.

    Args:
        sweep: their sweep.
        names: of the runs.
        options: of sbatch, as ``name=value``; ``time``, in minutes, must be among them.
        most: runs at the same time; 0 for the default of 256.
        cluster: ``"slurm"``, or another executor of submitit.

    Raises:
        ConfigError: submitit or sbatch is missing, or an option is wrong.
    """
    given = _options(options)
    if cluster == "slurm" and not shutil.which("sbatch"):
        raise ConfigError("there is no sbatch here: submit from a node of a SLURM cluster, or leave out --on slurm")
    try:
        import submitit
        from submitit.core.utils import FailedJobError
    except ImportError:
        raise ConfigError("submitit is not installed: pip install 'metaplax[slurm]'") from None
    try:
        executor = submitit.AutoExecutor(folder=sweep.path.absolute() / "slurm", cluster=cluster)
        executor.update_parameters(
            name="metaplax",
            cpus_per_task=sweep.plan["cores"],
            timeout_min=given.pop("time"),
            slurm_array_parallelism=most or MOST_AT_ONCE,
            **{f"slurm_{name}": value for name, value in given.items()},
        )
    except (NameError, TypeError, ValueError) as error:
        raise ConfigError(f"options of --slurm: {' '.join(str(error).split())}") from error
    try:
        return executor.map_array(Job(), [str(sweep.path.absolute())] * len(names), names)
    except FailedJobError as error:
        raise ConfigError(f"sbatch refuses the jobs: {' '.join(str(error).split())}") from error


def _options(options: Sequence[str]) -> dict[str, Any]:
    """Options as names and values, whole numbers as such."""
    found: dict[str, Any] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"--slurm takes NAME=VALUE, such as partition=long, not {option!r}")
        found[name] = int(value) if value.isdecimal() else value
    if not isinstance(found.get("time"), int):
        raise ConfigError("how many minutes may a run take before it is submitted again? Say --slurm time=MINUTES")
    return found
