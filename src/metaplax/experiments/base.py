"""The base of experiments: a configuration that makes studies, one for each arm and condition that it compares."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from difflib import get_close_matches
from math import isfinite
from typing import Any, ClassVar

from jaxtyping import Array, Key, PyTree

from metaplax import runs
from metaplax.analysis import Published, Quantity
from metaplax.data import ImageSet
from metaplax.plasticity import PrintedTerm
from metaplax.runs import ReportOptions, StudyDescription
from metaplax.training import AbstractLayout, choose_layout, keys_of_trials

LARGEST = 10**9
"""No whole number in a field is larger, except seeds."""

MOST_TRIALS = 10**6

Load = Callable[..., ImageSet]
"""Loads a data set by its name; the name of a split may follow, in place of the one that experiments use by default."""


class ConfigError(ValueError):
    """A configuration that cannot be run; the message is one sentence."""


@contextmanager
def config_errors() -> Iterator[None]:
    """Turn errors about values that come from the configuration into a ``ConfigError``."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(str(error)) from error


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint for a name that is not known: the known one that is spelt most like it, or else another text."""
    near = get_close_matches(name, list(known), 1, 0.4)
    return f"did you mean {near[0]!r}" if near else otherwise


@dataclass(frozen=True)
class Conditions:
    """What an experiment gives to a study that is conducted.

    Attributes:
        key: seed of all random numbers; studies with the same key see the same episodes.
        trials: number of independent repetitions.
        recorder: keeps rows and checkpoints.
        sibling: returns the recorder of another study of the same experiment, given its name.
        progress: shows how many steps are done.
        interruption: is asked after every step whether to stop.
    """

    key: Key[Array, ""]
    trials: int
    recorder: runs.AbstractRecorder
    sibling: Callable[[str], runs.FolderRecorder]
    progress: runs.AbstractProgress
    interruption: runs.Interruption

    def keys(self) -> Key[Array, " trials"]:
        """One key per trial."""
        return keys_of_trials(self.key, self.trials)

    @property
    def layout(self) -> AbstractLayout:
        """How the trials are laid out over devices."""
        return choose_layout(self.trials)

    def run_steps(
        self, compiled: Callable[[PyTree], runs.Step], state: PyTree, steps: int, *, padded: bool = False
    ) -> PyTree:
        """Take all steps from the recorder's last checkpoint on, see ``metaplax.runs.run_steps``.

        The state has a leading axis of trials; ``padded`` says whether the step takes and gives states that ``layout``
        has padded.
        """
        first, state = self.recorder.resume(state, steps)
        return runs.run_steps(
            compiled,
            self.layout.pad(state) if padded else state,
            first,
            steps,
            recorder=self.recorder,
            progress=self.progress,
            interruption=self.interruption,
            kept=self.layout.unpad if padded else lambda state: state,
        )


class AbstractStudy(ABC):
    """The measurement of one arm of an experiment in one condition."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Number of steps."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Text that must be equal for a checkpoint to be resumed."""

    @property
    def schedule(self) -> str:
        """Text of all that a step depends on; equal for studies that differ in their number of steps only."""
        return self.fingerprint

    @abstractmethod
    def check(self) -> None:
        """Refuse a combination that cannot work, before anything is compiled or written.

        Raises:
            IncompatibleError: one sentence that says what does not fit.
        """

    def memory(self, trials: int) -> int:
        """Bytes that the study holds at the same time at the least, from shapes alone; by default nothing is known."""
        del trials
        return 0

    def operations(self, trials: int) -> int:
        """Floating-point operations that it does at the least, from shapes alone; by default nothing is known.

        Raises:
            IncompatibleError: as ``check`` does.
        """
        del trials
        return 0

    @abstractmethod
    def conduct(self, conditions: Conditions) -> None:
        """Measure, from the recorder's last checkpoint on.

        Raises:
            DivergedError: no finite results come out any more.
            Interrupted: the interruption was requested; a checkpoint was written before.
        """

    def printed(self) -> tuple[PrintedTerm, ...]:
        """The terms of the plasticity rule for printing; empty if there is no rule."""
        return ()


class AbstractTraining(AbstractStudy):
    """A study that finds parameters of a learner, which other studies can then use."""

    @abstractmethod
    def trained(self, recorder: runs.FolderRecorder, keys: Key[Array, " trials"]) -> PyTree:
        """The parameters that were found, with a leading axis of trials, from the last checkpoint of its recorder.

        Raises:
            CheckpointError: there is no checkpoint, it is damaged, or the study is not finished.
        """


@dataclass(frozen=True)
class AbstractExperiment(ABC):
    """The configuration of an experiment; every field is an option on the command line.

    Attributes:
        trials: number of independent repetitions.
        seed: seed of all random numbers.
        data: name of the data set.
    """

    name: ClassVar[str]
    """Name on the command line; by default that of the class."""
    title: ClassVar[str] = ""
    """One line that says what the experiment shows."""
    source: ClassVar[str] = ""
    """The paper that it reproduces."""
    published: ClassVar[Mapping[str, Published]] = {}
    """Published numbers, by name of the quantity."""
    labels: ClassVar[Mapping[str, str]] = {}
    """What figures and tables call the arms, by name."""
    condition_labels: ClassVar[Mapping[str, str]] = {}
    """What they call the conditions, by name."""
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {}
    """Named choices of fields."""

    trials: int = 20
    seed: int = 1
    data: str = "emnist"

    def __init_subclass__(cls, **arguments: Any):
        super().__init_subclass__(**arguments)
        if "name" not in vars(cls):
            cls.name = cls.__name__

    def __post_init__(self):
        for field in fields(self):
            for number in self._numbers(field.name):
                if isinstance(number, float) and not isfinite(number):
                    raise ConfigError(f"{field.name} must be a finite number, not {number}")
        self.require_at_most(MOST_TRIALS, "trials")
        self.require_at_most(LARGEST, *(field.name for field in fields(self) if field.name != "seed"))
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed must be in 0 ... 4294967295, not {self.seed}")
        self.require_positive("trials")

    def require_positive(self, *names: str) -> None:
        """Refuse fields that are not above zero, by a ``ConfigError`` about the first of them."""
        for name in names:
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")

    def require_not_negative(self, *names: str) -> None:
        """Refuse fields that are below zero, by a ``ConfigError`` about the first of them."""
        for name in names:
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, but is {getattr(self, name)}")

    def require_at_most(self, largest: int, *names: str) -> None:
        """Refuse fields that hold a larger whole number, or one below the negative of that, by a ``ConfigError``."""
        for name in names:
            for number in self._numbers(name):
                if isinstance(number, int) and abs(number) > largest:
                    raise ConfigError(f"{name} must be at most {largest}, but is {number}")

    def _numbers(self, name: str) -> tuple[Any, ...]:
        """The value of a field, or all values of a tuple."""
        value = getattr(self, name)
        return value if isinstance(value, tuple) else (value,)

    def require_some(self, name: str, known: Collection[str]) -> None:
        """Refuse a field that holds unknown names, none, or one twice, by a ``ConfigError`` with the known names."""
        given = getattr(self, name)
        strange = next((one for one in given if one not in known), None)
        if strange is not None:
            raise ConfigError(f"{name} are some of {', '.join(known)}, but one is {strange!r}")
        if not given or len(set(given)) < len(given):
            raise ConfigError(f"{name} must be different ones, at least one, but are {', '.join(given) or 'none'}")

    def published_values(self) -> Mapping[str, Published]:
        """Published numbers to show beside the measured ones, by name of the quantity."""
        return self.published

    def report_options(self) -> ReportOptions:
        """How reports show the studies of this experiment."""
        return ReportOptions()

    def describe(self, study: str) -> StudyDescription:
        """What a study measures; studies are named ``arm`` or ``arm.condition``."""
        arm, _, condition = study.partition(".")
        group = self.condition_labels.get(condition, condition.replace("_", " "))
        return StudyDescription(arm, condition, self.labels.get(arm, arm), group)

    def label(self, study: str) -> str:
        """What to call a study."""
        return self.describe(study).label

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        """Conclusions, in sentences, from the quantities and the studies of a run by their names; by default none."""
        del quantities, studies
        return ()

    def further_quantities(self, rows: Sequence[Mapping[str, Any]]) -> list[Quantity]:
        """Quantities that are computed from the rows of several studies; by default none."""
        del rows
        return []

    @abstractmethod
    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        """The studies in the order in which they are run, by name: ``arm`` or ``arm.condition``.

        ``data`` is the data set that the field of this name asks for, and ``load`` loads others by name.

        Raises:
            ConfigError: the configuration makes no sense, or the data do not suffice.
        """
