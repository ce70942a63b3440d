"""An experiment in a file whose runs compile in no time, take as long as asked, and depend on every field and seed."""

import json
from pathlib import Path

from metaplax.runs import RunFolder

VALUES = ("--scale", "1", "2", "--seeds", "2", "--meta-steps", "12", "--checkpoint-seconds", "0")
"""A sweep of four runs."""

TEXT = '''
import os
import signal
import time
from dataclasses import dataclass

import jax
import numpy as np

from metaplax.experiments import AbstractExperiment, AbstractStudy
from metaplax.runs import ReportOptions


@dataclass(frozen=True)
class Walk(AbstractStudy):
    steps: int = 1
    scale: float = 1.0
    pause: float = 0.0
    fingerprint = "a walk"

    def check(self): ...

    def conduct(self, conditions):
        if log := os.environ.get("WANDERING_LOG"):
            with open(log, "a") as stream:
                print(os.getpid(), file=stream)
        take = jax.jit(lambda index, key: jax.vmap(lambda one: jax.random.normal(jax.random.fold_in(one, index)))(key))
        keys = conditions.keys()

        def step(index, state):
            time.sleep(self.pause)
            if self.scale == 13:
                raise ZeroDivisionError("thirteen")
            if self.scale == -1:
                os.kill(os.getpid(), signal.SIGKILL)
            state = state + self.scale * np.asarray(take(index, keys))
            return state, {"loss": state, "accuracy": 1 / (1 + np.exp(-state))}

        start = np.zeros(conditions.trials, np.float32)
        conditions.run_steps(lambda _: step, start, self.steps)
        conditions.recorder.finish(self.steps, {})


@dataclass(frozen=True)
class Wandering(AbstractExperiment):
    """Walks at random."""

    title = "A walk"
    data: str = "none"
    trials: int = 3
    meta_steps: int = 20
    scale: float = 1.0
    pause: float = 0.0
    loud: bool = False
    sizes: tuple[int, ...] = (1, 2)

    def report_options(self):
        return ReportOptions(validation=("accuracy",) if self.loud else ())

    def studies(self, data, load):
        return {name: Walk(self.meta_steps, self.scale, self.pause) for name in ("here", "there")}
'''
CLOCKS = {"seconds", "cpu_seconds"}


def write(folder: Path) -> str:
    """What names the experiment on the command line."""
    path = folder / "wandering.py"
    path.write_text(TEXT, encoding="utf-8")
    return f"{path}:Wandering"


def outcome(sweep: Path) -> dict:
    """All that the runs of a sweep have found, without what depends on the clock."""
    found = {}
    for name in json.loads((sweep / "sweep.json").read_text())["tasks"]:
        folder = RunFolder(sweep / name)
        rows = [{key: value for key, value in row.items() if key not in CLOCKS} for row in folder.rows()]
        quantities = folder.read_json("result.json")["quantities"]
        found[name] = rows, [one for one in quantities if not one["name"].startswith("cpu_seconds")]
    return found


def rows_in(sweep: Path) -> list[int]:
    """Number of rows of every run that has begun."""
    return [path.read_text().count("\n") for path in sweep.glob("*/metrics.jsonl")]
