"""Conducts a sweep on a Ray cluster: a task is a run; that of a node that goes away is resumed on another one."""

import logging
import os
import socket
from collections import deque
from pathlib import Path
from typing import Any

from metaplax._version import __version__
from metaplax.experiments import ConfigError
from metaplax.runs import Interruption
from metaplax.runs.schema import RunState
from metaplax.runs.sweep_folder import PLAN, UNKNOWN, SweepFolder
from metaplax.sweeps.conducting import STOP
from metaplax.sweeps.watching import Watch

RETRIES = 3
"""How often a run is begun again whose process or node dies."""
PATIENCE = 60.0
"""Seconds in which a node has to answer."""


def conduct_on_ray(sweep: SweepFolder, names: list[str], address: str, most: int, watch: Watch) -> str:
    """Conduct runs on the cluster at an address, on the one that RAY_ADDRESS names, or on one started here.

    Asked to stop by a signal, workers stop after their current step and write a checkpoint; returns its name.

    Raises:
        ConfigError: Ray is not installed, there is no such cluster, or one of its nodes cannot take part.
    """
    try:
        import ray
    except ImportError:
        raise ConfigError("Ray is not installed: pip install 'metaplax[sweep]'") from None
    _connect(ray, address or os.environ.get("RAY_ADDRESS", ""))
    try:
        _check_nodes(ray, sweep)
        with Interruption().listening() as interruption, watch:
            _hand_out(ray, sweep, deque(names), most, watch, interruption)
        return interruption.requested
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if not address or address == "local":
        ray.init(address="local", include_dashboard=False, **quiet)
        return
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        if port.isdecimal():
            socket.create_connection((host, int(port)), timeout=5).close()
        ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise ConfigError(f"there is no Ray cluster to join at {address!r}: {reason}") from error


def _check_nodes(ray: Any, sweep: SweepFolder) -> None:
    """Refuse nodes that cannot conduct a run, before any is started."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def look(plan: str) -> tuple[str | None, bytes | None]:
        # Sent by value, as it has to run where metaplax is missing.
        try:
            from metaplax._version import __version__ as version
        except ImportError:
            return None, None
        try:
            with open(plan, "rb") as stream:
                return version, stream.read()
        except OSError:
            return version, None

    path = (sweep.path / PLAN).absolute()
    content, asked = path.read_bytes(), {}
    for node in ray.nodes():
        if node["Alive"] and node["Resources"].get("CPU"):
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(look).options(num_cpus=0, scheduling_strategy=here, max_retries=0)
            asked[task.remote(str(path))] = node["NodeManagerAddress"]
    if not asked:
        raise ConfigError("the Ray cluster has no node with processor cores")
    for answer, node in asked.items():
        try:
            version, seen = ray.get(answer, timeout=PATIENCE)
        except Exception as error:
            raise ConfigError(f"the Ray node {node} does not answer: {str(error).splitlines()[0]}") from error
        if version != __version__:
            other = f"metaplax {version}" if version else "no metaplax"
            raise ConfigError(f"the Ray node {node} has {other}: install metaplax {__version__} there")
        if seen != content:
            raise ConfigError(f"the Ray node {node} does not see {path}: give --out a folder that all nodes share")


def _hand_out(
    ray: Any, sweep: SweepFolder, names: deque[str], most: int, watch: Watch, interruption: Interruption
) -> None:
    def conduct(path: str, name: str) -> RunState:
        from metaplax.sweeps.cluster_task import conduct_alone

        return conduct_alone(path, name)

    cores, path = sweep.plan["cores"], str(sweep.path.absolute())
    graphics = {"num_gpus": sweep.plan["gpu_share"]} if ray.cluster_resources().get("GPU") else {}
    task = ray.remote(conduct).options(num_cpus=cores, max_retries=RETRIES, **graphics)
    pending: dict[Any, str] = {}
    while pending or (names and not interruption.requested):
        if interruption.requested:
            (sweep.path / STOP).touch()
        # Twice as many as there is room for, so that an autoscaler sees what is waiting.
        room = most or 2 * max(1, int(ray.cluster_resources().get("CPU", 1)) // cores)
        while names and len(pending) < room and not interruption.requested:
            name = names.popleft()
            pending[task.remote(path, name)] = name
        ready = ray.wait([*pending], timeout=1.0)[0]
        settled = [pending.pop(answer) for answer in ready]
        for name, answer in zip(settled, ready, strict=True):
            _settle(ray, sweep, name, answer)
        # Of a search, the settings are chosen by those who try them.
        for name in sweep.runs() if sweep.plan["search"] else [*settled, *pending.values()]:
            watch.see(name, sweep.state(name))
    Path(sweep.path / STOP).unlink(missing_ok=True)


def _settle(ray: Any, sweep: SweepFolder, name: str, answer: Any) -> None:
    """Keep it, if a task has died more often than it is tried again."""
    try:
        ray.get(answer)
    except Exception as error:
        said = " ".join(str(error).split("\n")[0].split())
        if isinstance(error, ConfigError):
            (sweep.path / STOP).touch()
            raise ConfigError(str(error.args[0])) from error
        if name:
            sweep.tell(name, {**UNKNOWN, "state": "failed", "error": f"{type(error).__name__}: {said}"})
