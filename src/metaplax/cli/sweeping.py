"""What ``metaplax sweep`` does that needs JAX: plans, workers, and sweeps on other machines."""

import json
import os
import queue
import sys
import threading
import warnings
from pathlib import Path
from typing import Annotated, Any

import tyro

from metaplax import reports
from metaplax._files import locked, open_to_append
from metaplax.cli import tables
from metaplax.cli.console import Json, answer
from metaplax.cli.parsing import call
from metaplax.cli.sweep import conclude
from metaplax.cli.sweep_options import Engine, SweepOptions, check_engine, read_options
from metaplax.experiments import ConfigError, RunOptions
from metaplax.runs import Interruption, RunFolderError
from metaplax.runs.schema import RunState, SweepPlan
from metaplax.runs.sweep_folder import UNKNOWN, SweepFolder
from metaplax.sweeps import cores, on_ray, on_slurm
from metaplax.sweeps.conducting import STOP, conduct, experiment_of
from metaplax.sweeps.dry_run import estimate
from metaplax.sweeps.grid import combined, tasks
from metaplax.sweeps.local import IN_USE, LOG
from metaplax.sweeps.search import require_optuna, search_once, settings_left
from metaplax.sweeps.watching import Watch

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(help="sweep folder")]
HERE = Engine()


def sweep(arguments: list[str]) -> int:
    """``metaplax sweep`` where nothing is conducted on this machine: help, ``status``, ``--dry-run``, ``--on``."""
    if arguments[:1] == ["status"]:
        return call(status, "metaplax sweep status", arguments[1:])
    if arguments[:1] != ["resume"]:
        plan, options, engine = read_options(arguments)
        if options.dry_run:
            answer(_estimate(plan, options, engine), tables.estimate, as_json=engine.json)
            return 0
    folder, engine = _opened(arguments)
    told = _told(folder, engine)
    names = [order.get("run", "") for order in told["orders"]]
    with locked(folder.path, IN_USE):
        if engine.on == "slurm":
            jobs = on_slurm.submit(folder, names, engine.slurm, engine.workers) if names else []
            print(f"{len(jobs)} runs are submitted; see: metaplax sweep status {folder.path}")
            return 0
        watch, stopped = Watch(told["states"], told["total"]), ""
        if names:
            stopped = on_ray.conduct_on_ray(folder, names, engine.ray_address, engine.workers, watch)
    about = {"sweep": str(folder.path), "report": str(reports.write_sweep(folder)), "json": engine.json}
    return conclude({**about, "stopped": stopped, **watch.told()})


def _estimate(plan: SweepPlan, options: SweepOptions, engine: Engine) -> dict[str, Any]:
    """What a sweep would cost."""
    workers = engine.workers or cores.workers(plan["cores"], plan["gpu_share"])
    cores.take(plan["cores"], plan["gpu_share"])
    sweep, (first, *_), search = SweepFolder(Path(), plan), plan["seeds"], plan["search"]
    # What a search will choose lies between its corners.
    planned = tasks(combined(plan["fields"], in_turn=False), [first]) if search else plan["tasks"]
    settings = [experiment_of(sweep, dict(run)) for run in planned.values() if run["seed"] == first]
    count = search["settings"] if search else len(settings)
    run_options = RunOptions(plan["preset"], options.data_dir)
    return estimate(settings, count, len(plan["seeds"]), run_options, workers)


def status(dir: Folder, *, json: Json = False) -> int:
    """Say how far the runs of a sweep are; the exit code is 1 if one has failed."""
    states = SweepFolder.open(dir).states()
    answer(states, tables.sweep_states, as_json=json)
    return int(any(state["state"] == "failed" for state in states.values()))


def work(arguments: list[str]) -> int:
    """A worker: answers on what was standard output, which from here on is standard error."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(**message: Any) -> None:
        # Nobody need listen any more.
        try:
            print(json.dumps(message), file=channel)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), channel.fileno())

    what, rest = arguments[0], arguments[1:]
    if what == "plan":
        folder, engine = _opened(rest)
        say(**_told(folder, engine))
        with open_to_append(folder.path / LOG) as log:
            os.dup2(log.fileno(), 2)
            os.dup2(log.fileno(), 1)
    else:
        folder = SweepFolder.open(rest[0])
    cores.take(folder.plan["cores"], folder.plan["gpu_share"])
    with Interruption().listening() as interruption:
        for order in _orders(interruption):
            _obey(folder, order, interruption, say)
    return 0


def _opened(arguments: list[str]) -> tuple[SweepFolder, Engine]:
    """The sweep folder that a command begins or resumes, and where its runs are to be conducted.

    Raises:
        UsageError: the options cannot be understood.
        ConfigError: a setting cannot be run.
        RunFolderError: the folder cannot be used.
    """
    if arguments[:1] == ["resume"]:
        found = call(_resumed, "metaplax sweep resume", arguments[1:])
    else:
        plan, options, engine = read_options(arguments)
        found = SweepFolder.begin(options.out, plan), engine
    (found[0].path / STOP).unlink(missing_ok=True)
    if doubt := reports.doubt_about(found[0].plan):
        warnings.warn(doubt, stacklevel=1)
    return found


def _resumed(dir: Folder, *, engine: tyro.conf.OmitArgPrefixes[Engine] = HERE) -> tuple[SweepFolder, Engine]:
    """Go on with a sweep: finished runs are left alone, others go on from their last checkpoint."""
    check_engine(engine)
    return SweepFolder.open(dir), engine


def _told(folder: SweepFolder, engine: Engine) -> dict[str, Any]:
    """What the process that hands out runs has to know."""
    plan, states = folder.plan, folder.states()
    # What has stopped or failed before is waiting for another try.
    waiting: dict[str, Any] = {"state": "waiting", "error": ""}
    shown = {name: one if one["state"] == "finished" else {**one, **waiting} for name, one in states.items()}
    orders = [{"run": name} for name, state in shown.items() if state["state"] != "finished"]
    if plan["search"]:
        require_optuna()
        orders = [{"search": number} for number in range(settings_left(folder))]
    most = engine.workers or cores.workers(plan["cores"], plan["gpu_share"])
    told = {"sweep": str(folder.path), "orders": orders, "states": shown, "total": folder.total, "json": engine.json}
    return {**told, "workers": max(1, min(most, len(orders)))}


def _orders(interruption: Interruption) -> Any:
    """Orders from standard input, until it ends or the worker is asked to stop."""
    orders: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            orders.put(json.loads(line))
        interruption.requested = interruption.requested or "its sweep"
        orders.put(None)

    threading.Thread(target=listen, daemon=True).start()
    while (order := orders.get()) is not None and not interruption.requested:
        yield order


def _obey(folder: SweepFolder, order: dict[str, Any], interruption: Interruption, say: Any) -> None:
    """Carry out an order, and say so."""
    if "report" in order:
        try:
            say(report=str(reports.write_sweep(folder)), is_over=True)
        except RunFolderError as error:
            say(ended=f"the report of the sweep cannot be written: {error}", is_over=True)
    elif "died" in order:
        state: RunState = {**UNKNOWN, "state": "failed", "error": order["error"]}
        folder.tell(order["died"], state)
        say(name=order["died"], state=state, is_over=True)
    elif "search" in order:
        try:
            search_once(folder, interruption, lambda name, state: say(name=name, state=state))
            say(is_over=True)
        except ConfigError as error:
            say(ended=str(error), is_over=True)
    else:
        name = order["run"]
        conduct(folder, name, interruption, lambda state: say(name=name, state=state))
        say(name=name, state=folder.state(name), is_over=True)
