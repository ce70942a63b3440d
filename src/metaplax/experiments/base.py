"""What an experiment is: a configuration that makes studies, one for each rule it compares, and what was published."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxtyping import Array, Key, PyTree

from metaplax.analysis import Published, Quantity
from metaplax.data import ImageSet
from metaplax.plasticity import PrintedTerm
from metaplax.runs import AbstractProgress, AbstractRecorder, FolderRecorder, Interruption, Step, run_steps
from metaplax.training import keys_of_trials


@runtime_checkable
class Load(Protocol):
    """Loads data sets by name."""

    def __call__(self, name: str, split: str | None = None) -> ImageSet:
        """The images experiments use by default, or those of one split."""
        ...


class ConfigError(ValueError):
    """A configuration that cannot be run; the message is one sentence."""


@dataclass(frozen=True)
class Conditions:
    """What all studies of an experiment share when they are conducted.

    Attributes:
        key: seed of everything random; studies with the same key see the same.
        trials: independent repetitions.
        recorder: where rows and checkpoints go.
        sibling: the recorder of another study of the same experiment, by its name.
        progress: shows how far it is.
        interruption: asked now and then whether to stop.
    """

    key: Key[Array, ""]
    trials: int
    recorder: AbstractRecorder
    sibling: Callable[[str], FolderRecorder]
    progress: AbstractProgress
    interruption: Interruption

    def keys(self) -> Key[Array, " trials"]:
        """A key for every trial."""
        return keys_of_trials(self.key, self.trials)

    def run_steps(self, compiled: Callable[[PyTree], Step], state: PyTree, steps: int) -> PyTree:
        """Take all steps from where the recorder's last checkpoint was, see :func:`metaplax.runs.run_steps`."""
        first, state = self.recorder.resume(state)
        return run_steps(
            compiled,
            state,
            first,
            steps,
            recorder=self.recorder,
            progress=self.progress,
            interruption=self.interruption,
        )


class AbstractStudy(ABC):
    """One arm of an experiment: what is measured of one rule."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """The step after the last one that is recorded."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """What a checkpoint must have been made with to be resumed."""

    @abstractmethod
    def check(self) -> None:
        """Refuse, before anything is compiled or written, what cannot work.

        Raises:
            IncompatibleError: one sentence saying what does not fit.
        """

    @abstractmethod
    def conduct(self, conditions: Conditions) -> None:
        """Measure, from where the recorder's last checkpoint was.

        Raises:
            DivergedError: nothing finite came out any more.
            Interrupted: somebody asked to stop; a checkpoint was written before.
        """

    def printed(self) -> tuple[PrintedTerm, ...]:
        """How the rule is written; nothing if there is none."""
        return ()


class AbstractTraining(AbstractStudy):
    """A study that finds parameters of a learner, which can then be used elsewhere."""

    @abstractmethod
    def trained(self, recorder: FolderRecorder, keys: Key[Array, " trials"]) -> PyTree:
        """The parameters that were found, with a leading axis of trials, from the last checkpoint.

        Args:
            recorder: of this study.
            keys: of the trials.

        Raises:
            CheckpointError: there is no checkpoint, it is damaged, or the study is not finished.
        """


@dataclass(frozen=True)
class AbstractExperiment(ABC):
    """A configuration; its fields can all be set from the command line.

    Attributes:
        trials: independent repetitions.
        seed: of everything random.
        data: name of the data set.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str] = ""
    published: ClassVar[Mapping[str, Published]] = {}
    labels: ClassVar[Mapping[str, str]] = {}
    presets: ClassVar[Mapping[str, Mapping[str, object]]]
    averaged: ClassVar[int] = 100
    """Last rows of a study that a quantity is averaged over."""
    axis: ClassVar[str] = "episode"
    """What the steps of its studies count."""

    headline: ClassVar[tuple[str, ...]] = ("accuracy", "loss")
    """Quantities of every study that tables show; the first with its interval."""
    scan: ClassVar[tuple[str, Mapping[str, float]] | None] = None
    """If studies differ in one number: what it is called, and its value in each study."""

    by_cost: ClassVar[bool] = False
    """Whether reports also draw outer losses against processor time."""

    trials: int = 20
    seed: int = 1
    data: str = "emnist"

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not isfinite(value):
                raise ConfigError(f"{field.name} must be a finite number, not {value}")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed must be in 0 ... 4294967295, not {self.seed}")
        self.require_positive("trials")

    def require_positive(self, *names: str) -> None:
        """Refuse fields that are not above zero.

        Raises:
            ConfigError: the first of these that is not.
        """
        for name in names:
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")

    def require_some(self, name: str, known: Collection[str]) -> None:
        """Refuse a field that holds a name nothing has, no name at all, or one that comes twice.

        Raises:
            ConfigError: one sentence, with the names that there are.
        """
        given = getattr(self, name)
        strange = next((one for one in given if one not in known), None)
        if strange is not None:
            raise ConfigError(f"{name} are some of {', '.join(known)}, but one is {strange!r}")
        if not given or len(set(given)) < len(given):
            raise ConfigError(f"{name} must be different ones, at least one, but are {', '.join(given) or 'none'}")

    def published_values(self) -> Mapping[str, Published]:
        """Published numbers that belong beside what is measured, by name of the quantity."""
        return self.published

    @property
    def loss_unit(self) -> str:
        """What outer losses are measured in."""
        return "nats"

    @property
    def stride(self) -> int:
        """How far a step goes on the axis."""
        return 1

    @property
    def places(self) -> tuple[float, ...] | None:
        """Where the steps of its studies stand on a logarithmic axis; ``None`` if they just follow each other."""
        return None

    def label(self, study: str) -> str:
        """What to call a study."""
        return self.labels.get(study, study)

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        """What follows from the quantities of a run, in sentences.

        Args:
            quantities: by name.
            studies: by short name.
        """
        del quantities, studies
        return ()

    def further_quantities(self, rows: Sequence[Mapping[str, Any]]) -> list[Quantity]:
        """Quantities that need the rows of several studies; by default none."""
        del rows
        return []

    @abstractmethod
    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        """What is measured, in this order, by short name.

        Args:
            data: the data set that was asked for.
            load: loads others by name.

        Raises:
            ConfigError: the configuration makes no sense, or the data do not suffice.
        """
