"""What an experiment is: a configuration that builds task, learners and estimator, and what was published."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import optax

from metaplax.analysis import Published
from metaplax.data import ImageSet
from metaplax.estimators import AbstractEstimator
from metaplax.learners import AbstractLearner
from metaplax.tasks import AbstractTask


class ConfigError(ValueError):
    """A configuration that cannot be run; the message is one sentence."""


@dataclass(frozen=True)
class AbstractExperiment(ABC):
    """A configuration; its fields can all be set from the command line.

    Attributes:
        episodes: meta-steps per rule.
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

    episodes: int = 600
    trials: int = 20
    seed: int = 1
    data: str = "emnist"

    @abstractmethod
    def learners(self) -> dict[str, AbstractLearner]:
        """The learners that are meta-trained on the same episodes, by short name.

        Raises:
            ConfigError: the configuration makes no sense.
        """

    @abstractmethod
    def task(self, data: ImageSet) -> AbstractTask:
        """The distribution of episodes.

        Raises:
            ConfigError: the data do not suffice.
        """

    @abstractmethod
    def meta_gradient(self) -> AbstractEstimator:
        """The meta-gradient estimator."""

    @abstractmethod
    def optimizer(self) -> optax.GradientTransformation:
        """The outer optimiser."""
