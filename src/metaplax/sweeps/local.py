"""Conducts a sweep on this machine: workers, which are processes of their own, take one run after the other.

Workers read orders from standard input and answer on standard output, one JSON object per line. When their input ends,
because this process stops or has been killed, they stop after the current step and write a checkpoint.
"""

import json
import signal
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any

from metaplax._files import locked, open_to_append
from metaplax._interruption import Interruption
from metaplax.sweeps.watching import Watch

LOG = "log.txt"
TRIES = 2
"""How often a run is begun whose process dies."""
IN_USE = "another process hands out the runs of this sweep: wait for it, or stop it"

Message = dict[str, Any]


class Worker:
    """A process that takes orders; what it says is put into a queue, and ``None`` when it has ended."""

    def __init__(self, command: Sequence[str], heard: "Queue[tuple[Worker, Message | None]]", errors: IO[str] | None):
        self.order: Message | None = None
        self.process = subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        self._heard = heard
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as said:
            for line in said:
                self._heard.put((self, json.loads(line)))
        self.process.wait()
        self.dismiss()
        self._heard.put((self, None))

    def give(self, order: Message) -> None:
        """Give an order; a worker that has died meanwhile says so by itself."""
        self.order = order
        assert self.process.stdin is not None
        with suppress(OSError):
            print(json.dumps(order), file=self.process.stdin, flush=True)

    def dismiss(self) -> None:
        """Have it stop, after the current step if it is at one."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()

    def how_it_ended(self) -> str:
        """How its process has ended, in words."""
        code = self.process.wait()
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        hint = ": the machine may have run out of memory" if name == "SIGKILL" else ""
        return f"its process ended by {name}{hint}"


class Pool:
    """The workers of a sweep, and the orders that they have yet to take.

    Args:
        command: starts a worker, without the interpreter; a folder follows.
        first: the worker that has made the plan.
        heard: what workers say.
        plan: ``sweep``, ``orders``, ``states``, ``total`` and ``workers``, as the first worker told them.
    """

    def __init__(self, command: Sequence[str], first: Worker, heard: Queue, plan: Message):
        self.command, self.heard, self.folder = command, heard, Path(plan["sweep"])
        self.orders: deque[Message] = deque(plan["orders"])
        self.most, self.workers = plan["workers"], [first]
        self.watch = Watch(plan["states"], plan["total"])
        self.tried: Counter[str] = Counter()
        self.report: Message | None = None
        self.ended = ""

    def conduct(self, interruption: Interruption) -> None:
        """Hand out all orders, then have the report written; or, when asked to stop, wait until all have stopped."""
        with ExitStack() as stack:
            log = stack.enter_context(open_to_append(self.folder / LOG))
            stack.enter_context(self.watch)
            self.orders.append({"report": True})
            while self.workers or (self.orders and not interruption.requested):
                if not interruption.requested:
                    self._hand_out(log)
                else:
                    self.dismiss()
                with suppress(Empty):
                    worker, message = self.heard.get(timeout=0.2)
                    self._take(worker, message)

    def _hand_out(self, log: IO[str]) -> None:
        idle = [worker for worker in self.workers if worker.order is None]
        while self.orders and (idle or len(self.workers) < self.most):
            if "report" in self.orders[0] and len(idle) < len(self.workers):
                break  # until all runs are over
            if not idle:
                idle.append(Worker([*self.command, "serve", str(self.folder)], self.heard, log))
                self.workers.append(idle[0])
            idle.pop().give(self.orders.popleft())
        for worker in idle if not self.orders else ():
            worker.dismiss()

    def dismiss(self) -> None:
        """Have all workers stop, after the current step of those that are at one."""
        for worker in self.workers:
            worker.dismiss()

    def _take(self, worker: Worker, message: Message | None) -> None:
        if message is None:
            self.workers.remove(worker)
            if worker.order and "report" in worker.order:
                self.ended = f"the report of the sweep cannot be written: {worker.how_it_ended()}"
            elif worker.order:
                self._mourn(worker.order, worker.how_it_ended())
            return
        if "name" in message:
            self.watch.see(message["name"], message["state"])
        if "ended" in message:
            self.ended = message["ended"]
            self.orders = deque(order for order in self.orders if "search" not in order)
        if "report" in message:
            self.report = message
        if message.get("is_over"):
            worker.order = None

    def _mourn(self, order: Message, how: str) -> None:
        """Hand out again what a worker has died of, or have it said that it has failed."""
        key = json.dumps(order)
        self.tried[key] += 1
        # Of a search, what has died twice is only given up when the setting is to be tried again.
        if self.tried[key] < TRIES + ("search" in order):
            self.orders.appendleft(order)
        elif "run" in order:
            self.orders.appendleft({"died": order["run"], "error": how})


def conduct_here(command: Sequence[str], arguments: Sequence[str]) -> tuple[int, Message]:
    """Conduct a sweep on this machine.

    Args:
        command: starts a worker, see ``Pool``.
        arguments: of the command line, from which the first worker makes the plan.

    Returns:
        the exit code, if there is no plan; else what there is to say: ``sweep``, ``report``, ``json`` (whether to print
        JSON), ``stopped`` (by which signal), ``ended`` (why the search or the report was given up) and what
        ``Watch.told`` says.

    Raises:
        OSError: another process conducts this sweep, or its folder cannot be written.
    """
    heard: Queue[tuple[Worker, Message | None]] = Queue()
    with Interruption().listening() as interruption:
        first = Worker([*command, "plan", *arguments], heard, None)
        plan = heard.get()[1]
        if plan is None:
            return first.process.wait(), {}
        pool = Pool(command, first, heard, plan)
        try:
            with locked(pool.folder, IN_USE):
                pool.conduct(interruption)
        finally:
            pool.dismiss()
    return 0, {
        **{"sweep": plan["sweep"], "report": (pool.report or {}).get("report"), "json": plan["json"]},
        **{"stopped": interruption.requested, "ended": pool.ended, **pool.watch.told()},
    }
