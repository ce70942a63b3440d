"""A recurrent network learns whether two stimuli are different, from a reward at the end of each trial.

Miconi, Biologically plausible learning in recurrent neural networks reproduces neural dynamics observed during
cognitive tasks, eLife 6:e20899, 2017.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from metaplax.analysis import Published, Quantity
from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError, Load
from metaplax.experiments.miconi2017.reward_learning import RewardLearning, learner_for
from metaplax.experiments.presets import load_presets
from metaplax.plasticity import AbstractTerm, Fluctuation, NodePerturbation
from metaplax.runs import ReportOptions
from metaplax.tasks import AbstractTrials, DelayedNonMatch, Perturbations, SelectiveIntegration
from metaplax.tasks.working_memory import TYPES

PAPER = "Miconi (2017)"

ARMS: dict[str, tuple[str, AbstractTerm, float]] = {
    "cube": ("cubic eligibility", Fluctuation(3.0), 1.0),
    "square": ("signed square", Fluctuation(2.0), 1.0),
    "fluctuation_cube": ("cube of the fluctuation only", Fluctuation(3.0, post_only=True), 1.0),
    "identity": ("linear eligibility", Fluctuation(1.0), 1.0),
    "root": ("signed square root", Fluctuation(0.5), 1.0),
    "node_perturbation": ("node perturbation", NodePerturbation(), 0.01),
}
"""Every arm: its label, the term, and its rate in units of that of the cubic rule."""

TASKS = ("nonmatch", "long_delay", "variable_delay", "integration")
TARGETS: dict[str, tuple[float, float]] = {
    "nonmatch": (0.1, 3e-4),
    "long_delay": (0.03, 1e-4),
    "variable_delay": (0.003, 3e-4),
    "integration": (0.01, 2e-4),
}
"""Rate of the cubic rule and largest change of a weight in each task, as published."""


def nonmatch(neurons: int, dt: int, length: int, duration: int, gaps: tuple[int, int], probability: float = 0.003):
    """Delayed non-match to sample with times in milliseconds, for a network with steps of ``dt`` of them."""
    kicks = Perturbations(neurons, 16.0 / dt, min(1.0, probability * dt), tau=30.0 / dt)
    ticks = tuple(gap // dt for gap in gaps)
    return DelayedNonMatch(
        examples=TYPES, steps=length // dt, duration=duration // dt, gaps=(ticks[0], ticks[-1]), perturbations=kicks
    )


@dataclass(frozen=True)
class NonMatch(AbstractExperiment):
    """Trials that a network needs, with several eligibility traces; the rest of the rule is the same.

    Attributes:
        arms: what the eligibility is made of.
        task: stimuli 200 ms apart, the other delays of the paper, or the integration of the input that a context
            points to.
        examples: trials that a network sees, one weight change each.
        block: trials per recorded row.
        silent: trials at the start without plasticity.
        neurons: size of the network.
        dt: milliseconds per step of time; more than 1 is coarser than published.
    """

    name = "miconi2017/dnms"
    title = "A recurrent network learns non-match to sample from reward"
    source: ClassVar[str] = PAPER
    labels: ClassVar = {arm: label for arm, (label, _, _) in ARMS.items()}
    published: ClassVar[Mapping[str, Published]] = {
        "criterion.cube": Published(843.0, "caption of Fig. 1: median of 20 runs, quartiles 692 and 1,125")
    }
    presets = load_presets(__file__, "dnms")

    trials: int = 20
    data: str = "none"
    arms: tuple[str, ...] = ("cube", "identity", "node_perturbation")
    task: Literal["nonmatch", "long_delay", "variable_delay", "integration"] = "nonmatch"
    examples: int = 10_000
    block: int = 20
    silent: int = 101
    neurons: int = 200
    dt: int = 1

    def __post_init__(self):
        super().__post_init__()
        self.require_some("arms", ARMS)
        self.require_positive("examples", "block", "neurons", "dt")
        self.require_not_negative("silent")
        if self.block % TYPES or self.examples % self.block:
            raise ConfigError(f"block must be a multiple of {TYPES} that divides {self.examples}, not {self.block}")
        if self.dt > 15:
            raise ConfigError(f"steps of {self.dt} ms are too coarse for a time constant of 30 ms: 15 at most")

    def report_options(self) -> ReportOptions:
        return ReportOptions(5, f"{self.block} trials", headline=("error", "criterion", "reached"))

    def tested(self) -> AbstractTrials:
        """The task."""
        if self.task == "integration":
            kicks = Perturbations(self.neurons, 30.0 / self.dt, 0.003 * self.dt, tau=30.0 / self.dt)
            return SelectiveIntegration(TYPES, steps=700 // self.dt, duration=500 // self.dt, perturbations=kicks)
        times = {
            "nonmatch": (1000, 200, (199, 199)),
            "long_delay": (2000, 400, (999, 999), 0.1),
            "variable_delay": (1600, 300, (300, 798)),
        }
        return nonmatch(self.neurons, self.dt, *times[self.task])

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del data, load
        task, (rate, limit), found = self.tested(), TARGETS[self.task], {}
        for arm in self.arms:
            _, term, factor = ARMS[arm]
            learner = learner_for(task, term, factor * rate, limit, 200 // self.dt, self.silent)
            found[arm] = RewardLearning(learner, task, self.examples, self.block)
        return found

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        found = []
        for arm in self.arms:
            reached, error = (quantities.get(f"{name}.{arm}") for name in ("criterion", "error"))
            if reached is None or error is None:
                continue
            when = np.asarray([value for value in reached.values or (reached.mean,) if np.isfinite(value)])
            text = f"{self.label(arm)}: {len(when)} of {error.n} networks reach the criterion"
            if len(when):
                low, middle, high = np.quantile(when, (0.25, 0.5, 0.75))
                text += f", at trial {middle:,.0f} (median; quartiles {low:,.0f} and {high:,.0f})"
            found.append(f"{text}; the last {5 * self.block} trials have an error of {error.with_interval()}")
        return tuple(found)
