"""Familiarity of items that come again after some interval: at one interval, at growing ones, and by other terms."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any, ClassVar

import numpy as np

from metaplax.analysis import Published, Quantity, over_trials
from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError, Load, config_errors
from metaplax.experiments.presets import load_presets, load_tables
from metaplax.experiments.studies.transfer import Transfer
from metaplax.experiments.studies.until_solved import Levels, UntilSolved
from metaplax.experiments.tyulmankov2022.model import PAPER, drawn, optimizer, strengths
from metaplax.learners import HebbFF, PlasticLearner
from metaplax.plasticity import BCM, AbstractTerm, Hebb, NeuronOja, SynapticScaling, Traced, WeightDecay
from metaplax.runs import ReportOptions, StudyDescription
from metaplax.tasks import Familiarity

SIGNS = {"anti": -1, "hebb": 1, "free": 0}
TERMS: dict[str, Callable[[], tuple[AbstractTerm, ...]]] = {
    "hebb": lambda: (Hebb(), WeightDecay()),
    "undecayed": lambda: (Hebb(),),
    "oja": lambda: (NeuronOja(), WeightDecay()),
    "bcm": lambda: (BCM(), WeightDecay()),
    "scaling": lambda: (Hebb(), WeightDecay(), SynapticScaling()),
    "post_trace": lambda: (Traced(Hebb(), post=2.0), WeightDecay()),
    "pre_trace": lambda: (Traced(Hebb(), pre=2.0), WeightDecay()),
    "pool": lambda: (Hebb(), WeightDecay(), NeuronOja(), BCM(), SynapticScaling(), Traced(Hebb(), post=2.0)),
}
"""Every arm with its terms."""


@dataclass(frozen=True)
class AbstractFamiliarity(AbstractExperiment):
    """What the experiments on streams of familiar and novel items share.

    Attributes:
        updates: meta-steps at most, with one stream each; an arm stops when it has solved its last interval.
        items: items in a test stream.
        test_intervals: intervals at which every arm is tested.
        rate: meta-learning rate of Adam.
    """

    source: ClassVar[str] = PAPER

    trials: int = 3
    data: str = "none"
    updates: int = 20_000
    items: int = 5000
    test_intervals: tuple[int, ...] = (1, 3, 6, 10, 14, 20, 40)
    rate: float = 1e-3

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("updates", "items", "rate")
        if len(set(self.test_intervals)) < len(self.test_intervals) or min(self.test_intervals, default=1) < 1:
            raise ConfigError(f"test_intervals are different whole numbers from 1 on, not {self.test_intervals}")

    def report_options(self) -> ReportOptions:
        return ReportOptions(5, "update", 10, headline=("accuracy", "interval", "updates"))

    def describe(self, study: str) -> StudyDescription:
        found = super().describe(study)
        return replace(found, group=f"interval {found.condition[1:]}") if found.condition else found

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del data, load
        (first, last), trained, tested = self.span(), {}, {}
        with config_errors():
            for arm, made in self.learners().items():
                inputs, levels = made.network.inputs[0], Levels("interval", first, last)
                task, adam = Familiarity(inputs, first, max(200, 20 * last)), optimizer(made, self.rate)
                trained[arm] = UntilSolved(
                    made, task, adam, levels, self.updates, Familiarity.after, drawn, told=strengths
                )
                for interval in self.test_intervals:
                    task = Familiarity(inputs, interval, max(self.items, 20 * interval))
                    tested[f"{arm}.R{interval}"] = Transfer(arm, trained[arm], made, task, 1)
        return trained | tested

    @abstractmethod
    def span(self) -> tuple[int, int]:
        """The first and the last interval of meta-training."""

    @abstractmethod
    def learners(self) -> dict[str, PlasticLearner]:
        """The learner of every arm."""


@dataclass(frozen=True)
class OneInterval(AbstractFamiliarity):
    """HebbFF learns to recognise items that come again after one interval, and is tested at others.

    Attributes:
        arms: which are run: eta below zero (anti), above zero (hebb), or free and below zero at the start (free).
        interval: the interval of meta-training.
        inputs: components of an item.
        hidden: hidden units.
    """

    name = "tyulmankov2022/familiarity"
    title = "Anti-Hebbian synapses learn to recognise what was seen before, sooner than Hebbian ones"
    labels: ClassVar[Mapping[str, str]] = load_tables(__file__, "labels.toml", "signs")
    presets = load_presets(__file__, "familiarity")

    arms: tuple[str, ...] = ("anti", "hebb", "free")
    interval: int = 3
    inputs: int = 100
    hidden: int = 100

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("interval", "inputs", "hidden")
        self.require_some("arms", self.labels)

    def published_values(self) -> Mapping[str, Published]:
        known = load_tables(__file__, "published.toml", "familiarity")
        found = known.get(f"{self.inputs}_{self.hidden}_{self.interval}", {}).items()
        return {name: Published(float(value), "stored networks of the paper") for name, value in found}

    def span(self) -> tuple[int, int]:
        return self.interval, self.interval

    def learners(self) -> dict[str, PlasticLearner]:
        return {arm: HebbFF(self.inputs, self.hidden, SIGNS[arm]) for arm in self.arms}

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        found = []
        for arm in self.arms:
            if (updates := quantities.get(f"updates.{arm}")) and (solved := quantities.get(f"solved.{arm}")):
                kept, eta = (quantities[f"{name}.{arm}"].with_interval() for name in ("lambda", "eta_d"))
                told = f"{updates.with_interval()} updates, in {solved.mean:.0%} of the trials solved"
                found.append(f"{self.label(arm)}: {told}; lambda {kept}, eta times inputs {eta}")
        return tuple(found)


@dataclass(frozen=True)
class Curriculum(AbstractFamiliarity):
    """The interval grows whenever it is solved: the capacity of a network is the first interval that it does not solve.

    Attributes:
        inputs: components of an item, for every network.
        hidden: hidden units, likewise.
        longest: the last interval.
        uniform: whether hidden units share one bias and one weight to the output.
    """

    name = "tyulmankov2022/curriculum"
    title = "The interval that HebbFF remembers grows with the number of its synapses"
    presets = load_presets(__file__, "curriculum")

    test_intervals: tuple[int, ...] = ()
    inputs: tuple[int, ...] = (25, 25, 25, 50, 50, 50)
    hidden: tuple[int, ...] = (2, 4, 8, 2, 4, 8)
    longest: int = 20
    uniform: bool = True

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("longest")
        if not self.inputs or len(self.inputs) != len(self.hidden) or min(*self.inputs, *self.hidden) < 1:
            raise ConfigError(f"inputs and hidden are the sizes of the same networks, not {self.inputs}, {self.hidden}")

    def report_options(self) -> ReportOptions:
        headline, scanned = ("interval", "updates", "accuracy"), "synapses (inputs times hidden units)"
        return replace(super().report_options(), headline=headline, scanned=scanned, curve="interval")

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Inputs and hidden units of every arm."""
        return {f"d{d}_n{n}": (d, n) for d, n in zip(self.inputs, self.hidden, strict=True)}

    def describe(self, study: str) -> StudyDescription:
        found = super().describe(study)
        d, n = self.sizes()[found.arm]
        return replace(found, arm_label=f"{d} inputs, {n} hidden", scanned=float(d * n))

    def published_values(self) -> Mapping[str, Published]:
        known = load_tables(__file__, "published.toml", "curriculum") if self.uniform else {}
        arms = known.keys() & self.sizes()
        return {f"interval.{arm}": Published(float(known[arm]), "stored networks of the paper") for arm in arms}

    def span(self) -> tuple[int, int]:
        return 1, self.longest

    def learners(self) -> dict[str, PlasticLearner]:
        return {arm: HebbFF(*size, uniform=self.uniform) for arm, size in self.sizes().items()}

    def further_quantities(self, rows: Sequence[Mapping[str, Any]]) -> list[Quantity]:
        final = {row["study"]: np.asarray(row["interval"], float) for row in rows if row.get("final")}
        points = [(log(d * n), np.log(final[arm])) for arm, (d, n) in self.sizes().items() if arm in final]
        if len(points) < 3:
            return []
        x, y = np.asarray([x for x, _ in points]), np.stack([y for _, y in points])
        return [over_trials("slope", np.polyfit(x, y, 1)[0], "1")]


@dataclass(frozen=True)
class WhichTerms(AbstractFamiliarity):
    """Other plasticity terms in the place of the Hebbian one, in the same curriculum. Not in the paper.

    Attributes:
        arms: which are run.
        inputs: components of an item.
        hidden: hidden units.
        longest: the last interval.
    """

    name = "tyulmankov2022/terms"
    title = "Which plasticity terms remember for longest what was seen"
    labels: ClassVar[Mapping[str, str]] = load_tables(__file__, "labels.toml", "terms")
    presets = load_presets(__file__, "terms")

    arms: tuple[str, ...] = tuple(TERMS)
    inputs: int = 25
    hidden: int = 25
    longest: int = 10

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("inputs", "hidden", "longest")
        self.require_some("arms", self.labels)

    def span(self) -> tuple[int, int]:
        return 1, self.longest

    def learners(self) -> dict[str, PlasticLearner]:
        return {arm: HebbFF(self.inputs, self.hidden, terms=TERMS[arm]()) for arm in self.arms}
