"""Familiarity by hand-made memories: an idealised one against its formula, and one that new items overwrite in time."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from metaplax.analysis import AddressedMemory, Published, novelties
from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError, Load, config_errors
from metaplax.experiments.presets import load_presets, load_tables
from metaplax.experiments.studies.measured import Measured
from metaplax.experiments.studies.meta_training import Untrained
from metaplax.experiments.studies.transfer import Transfer
from metaplax.experiments.tyulmankov2022.model import PAPER
from metaplax.learners import AddressedFamiliarity
from metaplax.runs import ReportOptions, StudyDescription
from metaplax.tasks import Examples, Familiarity


@dataclass(frozen=True)
class Overwritten:
    """The network of Bogacz & Brown sees a stream; as many items as are familiar are called so, the least novel ones.

    Attributes:
        rate: size of a change of the weights.
    """

    rate: float

    def __call__(self, task: Familiarity, key: Key[Array, ""]) -> dict[str, Array]:
        weight_key, task_key = jax.random.split(key)
        stream: Examples = task.sample(task_key).support
        weight = jax.random.normal(weight_key, (task.inputs, task.inputs)) / task.inputs**0.5
        is_familiar = stream.y[:, 0] > 0
        said = jnp.argsort(jnp.argsort(novelties(weight, stream.x, self.rate))) < jnp.sum(is_familiar)
        rate_among = lambda those: jnp.sum(said & those) / jnp.sum(those)  # noqa: E731
        rates = {"true_positive_rate": rate_among(is_familiar), "false_positive_rate": rate_among(~is_familiar)}
        return {"accuracy": jnp.mean(said == is_familiar, dtype=float), **rates}


@dataclass(frozen=True)
class ClosedForm(AbstractExperiment):
    """The idealised memory against its formula at several intervals, and a rival against the length of a stream.

    Attributes:
        stored: bits that the idealised memory stores.
        address: bits of its address.
        intervals: at which it is tested.
        items: items in a stream of it.
        inputs: units of the rival, the anti-Hebbian network of Bogacz and Brown.
        rival_interval: the interval of its streams.
        lengths: items in a stream of it.
        rate: size of a change of its weights.
    """

    name = "tyulmankov2022/closed-form"
    title = "An idealised familiarity memory keeps to its formula, and a network without decay is overwritten"
    source: ClassVar[str] = PAPER
    labels: ClassVar[Mapping[str, str]] = load_tables(__file__, "labels.toml", "closed-form")
    presets = load_presets(__file__, "closed-form")

    trials: int = 5
    data: str = "none"
    stored: int = 50
    address: int = 6
    intervals: tuple[int, ...] = (1, 10, 30, 60, 100, 200)
    items: int = 20_000
    inputs: int = 100
    rival_interval: int = 5
    lengths: tuple[int, ...] = (50, 170, 300, 525, 920, 5000)
    rate: float = 0.7

    def __post_init__(self):
        super().__post_init__()
        if min(*self.intervals, *self.lengths, self.rate, 1) <= 0 or not 1 <= self.address <= 12:
            raise ConfigError("intervals, lengths and the rate must be positive, and the address has 1 to 12 bits")
        self.memory()

    def memory(self) -> AddressedMemory:
        """The idealised memory."""
        with config_errors():
            return AddressedMemory(self.stored, self.address)

    def report_options(self) -> ReportOptions:
        return ReportOptions(1, "stream", headline=("accuracy", "true_positive_rate"))

    def describe(self, study: str) -> StudyDescription:
        found, what = super().describe(study), {"R": "interval", "T": "stream of"}
        return replace(found, group=f"{what[found.condition[0]]} {found.condition[1:]}")

    def published_values(self) -> Mapping[str, Published]:
        formula = self.memory().true_positives
        found = {f"true_positive_rate.addressed.R{R}": Published(formula(float(R)), "formula") for R in self.intervals}
        is_theirs = (self.inputs, self.rival_interval, self.rate) == (100, 5, 0.7)
        known: dict[str, Any] = load_tables(__file__, "published.toml", "bogacz") if is_theirs else {}
        return found | {name: Published(value, "stored result of the paper") for name, value in known.items()}

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del data, load
        with config_errors():
            memory, size, found = self.memory(), self.stored + self.address, {}
            made = AddressedFamiliarity(memory.address, memory.stored, memory.decay, memory.bias)
            for interval in self.intervals:
                task = Familiarity(size, interval, self.items)
                name = f"addressed.R{interval}"
                found[name] = Transfer(name, Untrained(made), made, task, 1)
            for length in self.lengths:
                task = Familiarity(self.inputs, self.rival_interval, length)
                found[f"bogacz.T{length}"] = Measured(Overwritten(self.rate), task)
        return found
