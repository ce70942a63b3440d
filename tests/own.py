"""An experiment of one's own in a file, which needs no compiler: it counts."""

from pathlib import Path

TEXT = '''
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from metaplax.experiments import AbstractExperiment, AbstractStudy


@dataclass(frozen=True)
class Counting(AbstractStudy):
    steps: int = 1
    fingerprint = "counting"

    def check(self): ...

    def conduct(self, conditions):
        start = np.zeros(conditions.trials)
        step = lambda index, state: (state + 1, {"loss": 1e-5 * (state + 1), "theta0": state})
        conditions.run_steps(lambda _: step, start, self.steps)
        conditions.recorder.finish(self.steps, {"long_name_of_a_quantity": start})


@dataclass(frozen=True)
class Mine(AbstractExperiment):
    """Counts up.

    Attributes:
        upto: number of steps.
        word: a word.
        several: some numbers.
    """

    title = "Counting λ"
    labels = {"one": "θ₁ and ΔWₗ", "two": "the other one"}
    presets = {"smoke": {"upto": 2}, "quick": {"upto": 3}}

    data: str = "none"
    trials: int = 2
    upto: int = 4
    word: Literal["left", "right"] = "left"
    several: tuple[float, ...] = (1.0, 2.0)

    def studies(self, data, load):
        return {name: Counting(self.upto) for name in ("one", "two", "one.elsewhere")}


class Abstract(AbstractExperiment): ...


NUMBER = 1
'''


def write(folder: Path, text: str = TEXT) -> Path:
    """The file ``mine.py`` in a folder."""
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path
