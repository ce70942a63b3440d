"""An experiment whose studies count in plain Python: a run of it takes no time, but keeps all that runs keep."""

from dataclasses import dataclass

import numpy as np
import pytest

from metaplax.experiments import EXPERIMENTS, AbstractExperiment, AbstractStudy, Conditions


@dataclass(frozen=True)
class CountingStudy(AbstractStudy):
    """Every step adds one."""

    count: int
    half: int = 0

    @property
    def steps(self) -> int:
        return self.count

    @property
    def fingerprint(self) -> str:
        return "counting"

    @property
    def schedule(self) -> str:
        return f"counting, from {self.half}"

    def check(self) -> None: ...

    def conduct(self, conditions: Conditions) -> None:
        def step(index, state):
            return state + 1, {"loss": 10.0 + state, "accuracy": state / 64}

        state = conditions.run_steps(lambda _: step, np.zeros(conditions.trials, np.float32), self.count)
        conditions.recorder.finish(self.count, {"theta0": np.asarray(state)})


@dataclass(frozen=True)
class Counting(AbstractExperiment):
    """Two arms that grow with the meta-steps, and a condition that does not."""

    name = "counting"
    title = "Counting"

    trials: int = 2
    data: str = "none"
    meta_steps: int = 4
    rate: float = 1.0
    halved: bool = False

    def studies(self, data, load):
        del data, load
        half = self.meta_steps // 2 if self.halved else 0
        long = CountingStudy(self.meta_steps, half)
        return {"a": long, "a.test": CountingStudy(3), "b": long}


@dataclass(frozen=True)
class OtherCounting(Counting):
    """The same fields and studies under another name."""

    name = "other-counting"


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """Both can be found by name in a test; modules that import this fixture use it in all of theirs."""
    for kind in (Counting, OtherCounting):
        monkeypatch.setitem(EXPERIMENTS, kind.name, kind)
