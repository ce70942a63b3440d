"""Supervised meta-optimisation: a decay of the regulariser for every single weight.

Zucchet et al., A contrastive rule for meta-learning, NeurIPS 2022, section 5.1 and Table 1.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from metaplax.data import CATALOG, ImageSet
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError, Load, config_errors
from metaplax.experiments.presets import load_presets, load_settings, load_tables
from metaplax.experiments.studies.decay_search import DecaySearch
from metaplax.experiments.studies.meta_training import MetaTraining
from metaplax.experiments.studies.transfer import Transfer
from metaplax.experiments.zucchet2022.settings import PAPER, PIXELS, AbstractSettings
from metaplax.learners import MetaRegularised
from metaplax.networks import AbstractFunctionalNetwork, BatchNormLeNet, EquinoxNetwork, SoftmaxCrossEntropy
from metaplax.runs import ReportOptions
from metaplax.tasks import HoldOut

LABELS = load_tables(__file__, "labels.toml", "metaopt")
SEARCHED = (1e-6, 1e-1)
"""Smallest and largest decay that the search tries."""


@dataclass(frozen=True, kw_only=True)
class MetaoptSettings(AbstractSettings):
    """How one method of meta-optimisation is run.

    Attributes:
        decay: value that all decays start with.
    """

    steps: int = 2000
    decay: float = 0.0


@dataclass(frozen=True)
class AbstractMetaOptimisation(AbstractExperiment):
    """Decays of the regulariser are meta-learned on held-back images, by several meta-gradients.

    Attributes:
        meta_steps: number of meta-steps.
        learn_from: images in the support set.
        held_back: images in the query set.
        test_images: images in the test set, which nothing is decided on.
        batch: images per inner step.
        inner_steps: number of inner steps; 0 for the one in the settings of each method.
        nudged_steps: steps of the nudged phase.
        tuned_for: which learning rates are used: those published (paper), or those found for the sizes of the preset
            quick.
        as_released: let truncated backprop learn the initial weights, too, as the published code does.
    """

    source: ClassVar[str] = PAPER
    labels: ClassVar[Mapping[str, str]] = LABELS
    arms: ClassVar[tuple[str, ...]] = tuple(LABELS)
    condition_labels: ClassVar[Mapping[str, str]] = load_tables(__file__, "labels.toml", "metaopt-conditions")
    settings: ClassVar[Mapping[str, Mapping[str, MetaoptSettings]]]
    scale: ClassVar[Mapping[str, Any]]
    """How pixels are standardised, see ``HoldOut``."""
    flat: ClassVar[bool]

    trials: int = 10
    meta_steps: int = 100
    learn_from: int = 30_000
    held_back: int = 30_000
    test_images: int = 10_000
    batch: int = 500
    inner_steps: int = 0
    nudged_steps: int = 200
    tuned_for: Literal["paper", "quick"] = "paper"
    as_released: bool = False

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("meta_steps", "learn_from", "held_back", "test_images", "batch", "nudged_steps")
        self.require_not_negative("inner_steps")
        self.require_at_most(10**6, "inner_steps", "nudged_steps")
        if self.batch > min(self.learn_from, self.held_back):
            raise ConfigError(
                f"batch must not be more than learn_from = {self.learn_from} and held_back = {self.held_back}, but is"
                f" {self.batch}"
            )

    def report_options(self) -> ReportOptions:
        return ReportOptions(axis="meta-step", averaged=5, validation=("accuracy", "loss"))

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        with config_errors():
            has_test = "test" in CATALOG[self.data].splits
            train, test = (data, load(self.data, "test")) if has_test else data.divided(self.test_images)
            sizes, test = (self.learn_from, self.held_back), test.take(slice(self.test_images))
            parts = ("validation", "test", "all")
            tasks = {part: HoldOut(train, test, sizes, part=part, flat=self.flat, **self.scale) for part in parts}
        trainings = {arm: self._training(arm, tasks["validation"]) for arm in self.arms}
        transfers = {
            f"{arm}.{part}": Transfer(arm, training, self.learner(arm, tasks[part]), tasks[part], 1)
            for part in ("test", "all")
            for arm, training in trainings.items()
        }
        return {**trainings, **transfers}

    def _training(self, arm: str, task: HoldOut) -> MetaTraining | DecaySearch:
        settings, learner = self.settings[self.tuned_for][arm], self.learner(arm, task)
        if settings.rule == "none":
            return DecaySearch(learner, task, 1, 0.0, 0.0)
        if settings.rule == "search":
            return DecaySearch(learner, task, self.meta_steps, *SEARCHED)
        estimator = settings.estimator(self.nudged_steps, self.batch, self.as_released)
        optimizer = nonnegative_decays(optax.adam(settings.outer_rate))
        return MetaTraining(learner, task, estimator, optimizer, self.meta_steps)

    def learner(self, arm: str, task: HoldOut) -> MetaRegularised:
        """The learner of one arm, at the start of meta-training."""
        settings = self.settings[self.tuned_for][arm]
        descent, learn_start = settings.descent(self.inner_steps, self.batch), self.as_released and arm == "truncated"
        network, readout = self.network(task), SoftmaxCrossEntropy()
        return MetaRegularised(network, readout, descent, settings.decay, learn_start=learn_start)

    @abstractmethod
    def network(self, task: HoldOut) -> AbstractFunctionalNetwork:
        """The network."""


def nonnegative_decays(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """An optimiser that takes decays to zero where its step would take them below."""

    def mask(parameters: PyTree) -> PyTree:
        nothing = jax.tree.map(lambda _: False, parameters)
        everything = jax.tree.map(lambda _: True, parameters.decay)
        return eqx.tree_at(lambda tree: tree.decay, nothing, everything)

    return optax.chain(optimizer, optax.masked(optax.keep_params_nonnegative(), mask))


@dataclass(frozen=True)
class MetaoptMNIST(AbstractMetaOptimisation):
    """A fully connected network on MNIST.

    Attributes:
        width: neurons per hidden layer.
        depth: hidden layers.
    """

    name = "zucchet2022/metaopt-mnist"
    title = "One regularisation decay per weight, meta-learned on MNIST"
    scale = PIXELS["mnist"]
    flat = True
    settings = load_settings(__file__, "metaopt_settings.toml", MetaoptSettings, "mnist")
    presets = load_presets(__file__, "metaopt-mnist")

    data: str = "mnist"
    width: int = 256
    depth: int = 5

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("width", "depth")
        self.require_at_most(1000, "depth")

    def network(self, task: HoldOut) -> AbstractFunctionalNetwork:
        inputs = task.train.x[0].size
        return EquinoxNetwork(lambda key: eqx.nn.MLP(inputs, task.classes, self.width, self.depth, jnp.tanh, key=key))


@dataclass(frozen=True)
class MetaoptCIFAR10(AbstractMetaOptimisation):
    """A small convolutional network with batch normalisation on CIFAR-10."""

    name = "zucchet2022/metaopt-cifar10"
    title = "One regularisation decay per weight, meta-learned on CIFAR-10"
    scale = PIXELS["cifar10"]
    flat = False
    settings = load_settings(__file__, "metaopt_settings.toml", MetaoptSettings, "cifar10")
    presets = load_presets(__file__, "metaopt-cifar10")

    data: str = "cifar10"
    learn_from: int = 25_000
    held_back: int = 25_000

    def network(self, task: HoldOut) -> AbstractFunctionalNetwork:
        _, height, _, channels = task.train.x.shape
        return BatchNormLeNet(height, channels, outputs=task.classes)
