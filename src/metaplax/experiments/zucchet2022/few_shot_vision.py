"""Few-shot vision: several ways of meta-learning to tell a few classes of images apart after a few examples.

Zucchet et al., A contrastive rule for meta-learning, NeurIPS 2022, section 5.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import optax

from metaplax.analysis import Published, Quantity
from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError, Load, config_errors
from metaplax.experiments.presets import load_presets, load_settings, load_tables
from metaplax.experiments.studies.meta_training import MetaTraining, Untrained
from metaplax.experiments.studies.transfer import Transfer
from metaplax.experiments.zucchet2022.settings import PAPER, PIXELS, AbstractSettings
from metaplax.learners import ComplexSynapse
from metaplax.networks import ConvBlocks, FastReadout, SoftmaxCrossEntropy, TemplateBlocks
from metaplax.optim import polyak_average
from metaplax.runs import ReportOptions
from metaplax.tasks import FewShot

EPOCH = 125
"""Meta-steps that the published code calls an epoch."""

LABELS = load_tables(__file__, "labels.toml", "few-shot")
PUBLISHED = load_tables(__file__, "published.toml")
SPLITS = {"omniglot": ("background", "evaluation"), "miniimagenet": ("train", "test")}
"""Parts of a data set for meta-training, and for further tasks; of other data the last third of the classes is kept."""


@dataclass(frozen=True, kw_only=True)
class FewShotSettings(AbstractSettings):
    """How one few-shot method is run.

    Attributes:
        fast: the part of the network that changes within a task.
        test_steps: inner steps on further tasks.
        outer_decay: factor by which the outer learning rate is multiplied every ``outer_decay_every`` meta-steps.
        outer_decay_every: meta-steps between two such changes.
    """

    fast: Literal["all", "readout", "coefficients"] = "all"
    test_steps: int
    outer_decay: float = 1.0
    outer_decay_every: int = 1


@dataclass(frozen=True)
class AbstractFewShot(AbstractExperiment):
    """Several ways of learning to learn from a few images of a few classes, scored on classes never seen.

    Attributes:
        arms: methods to compare; by default all of them.
        meta_steps: number of meta-steps.
        meta_batch: tasks per meta-step.
        test_episodes: further tasks that each trial is scored on.
        ways: classes per task.
        shots: images per class to learn from.
        queries: images per class to be scored on in meta-training.
        test_queries: images per class to be scored on in further tasks.
        channels: channels of each block of the network.
        templates: number of templates that modulated kernels are mixed from.
        polyak_from: meta-step from which on meta-parameters are averaged.
        tuned_for: which learning rates are used: the published ones for 5w1s, 5w5s, 20w1s or 20w5s (ways and shots on
            Omniglot) or mini (mini-ImageNet), those found for fewer meta-steps (quick, quick-wide, quick-20w1s), or
            smoke.
        as_released: average meta-parameters as the published code does, which starts again in every epoch.
    """

    source: ClassVar[str] = PAPER
    labels: ClassVar[Mapping[str, str]] = LABELS
    settings: ClassVar = load_settings(__file__, "few_shot_settings.toml", FewShotSettings)
    condition_labels: ClassVar[Mapping[str, str]] = {"test": "further tasks"}
    rotations: ClassVar[bool]
    scale: ClassVar[Mapping[str, Any]] = {}
    """How pixels are standardised, see ``FewShot``."""

    trials: int = 3
    arms: tuple[str, ...] = tuple(LABELS)
    meta_steps: int = 30 * EPOCH
    meta_batch: int = 32
    test_episodes: int = 300
    ways: int = 5
    shots: int = 1
    queries: int = 15
    test_queries: int = 15
    channels: tuple[int, ...] = (64, 64, 64, 64)
    templates: int = 100
    polyak_from: int = 5 * EPOCH
    tuned_for: str = "5w1s"
    as_released: bool = False

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("meta_steps", "meta_batch", "test_episodes", "ways", "shots", "queries", "test_queries")
        self.require_positive("templates")
        self.require_some("arms", LABELS)
        self.require_not_negative("polyak_from")
        if self.tuned_for not in self.settings:
            raise ConfigError(f"tuned_for is one of {', '.join(self.settings)}, not {self.tuned_for!r}")

    def published_values(self) -> Mapping[str, Published]:
        found = PUBLISHED.get(self.data, {}).get(f"{self.ways}w{self.shots}s", {})
        source = "in Rajeswaran et al. (2019), after whole meta-training"
        return {f"accuracy.{arm}.test": Published(found[arm], source) for arm in self.arms if arm in found}

    def report_options(self) -> ReportOptions:
        return ReportOptions(axis="meta-step", averaged=50, by_cost=True)

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        kept = len(data.class_names) - len(data.class_names) // 3
        seen, unseen = (data, range(kept)), (data, range(kept, len(data.class_names)))
        if self.data in SPLITS:
            seen, unseen = ((load(self.data, split), None) for split in SPLITS[self.data])
        train, test = self._task(*seen, self.queries, self.rotations), self._task(*unseen, self.test_queries, False)
        trainings = {arm: self._training(arm, train) for arm in self.arms}
        transfers = {
            f"{arm}.test": Transfer(arm, training, self.learner(arm, test, testing=True), test, self.test_episodes)
            for arm, training in trainings.items()
        }
        return {**trainings, **transfers}

    def _task(self, data: ImageSet, allowed: range | None, queries: int, rotations: bool) -> FewShot:
        # The built-in images of the preset smoke are grey.
        more = self.scale if data.images.ndim == 4 else {}
        with config_errors():
            return FewShot(data, self.ways, self.shots, queries, rotations=rotations, allowed=allowed, **more)

    def _training(self, arm: str, task: FewShot) -> MetaTraining | Untrained:
        settings, learner = self.settings[self.tuned_for][arm], self.learner(arm, task)
        if settings.rule == "none":
            return Untrained(learner)
        decay = settings.outer_decay_every, settings.outer_decay
        rate = optax.exponential_decay(settings.outer_rate, *decay, staircase=True)
        average = polyak_average(self.polyak_from, EPOCH if self.as_released else None)
        optimizer = optax.chain(optax.adam(rate), average)
        return MetaTraining(learner, task, settings.estimator(), optimizer, self.meta_steps, meta_batch=self.meta_batch)

    def learner(self, arm: str, task: FewShot, *, testing: bool = False) -> ComplexSynapse:
        """The learner of one arm, at the start of meta-training or as it is scored."""
        settings, images = self.settings[self.tuned_for][arm], task.bank.images
        colours = images.shape[3] if images.ndim == 4 else 1
        with config_errors():
            network = ConvBlocks(images.shape[1], colours, self.channels, outputs=self.ways)
        if settings.fast != "all":
            network = FastReadout(network) if settings.fast == "readout" else TemplateBlocks(network, self.templates)
        descent, pull = settings.descent(settings.test_steps if testing else settings.steps), settings.strength
        return ComplexSynapse(network, SoftmaxCrossEntropy(), descent, pull, log_space=False, learn_strength=False)

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        scores = {arm: quantities.get(f"accuracy.{arm}.test") for arm in self.arms}
        return tuple(
            f"{self.label(arm)}: accuracy {score.with_interval()} on {self.test_episodes} further tasks"
            for arm, score in scores.items()
            if score
        )


@dataclass(frozen=True)
class FewShotOmniglot(AbstractFewShot):
    """Handwritten characters of alphabets that were never seen; rotated ones count as classes in meta-training."""

    name = "zucchet2022/fewshot-omniglot"
    title = "Characters told apart after one or five examples"
    rotations = True
    presets = load_presets(__file__, "fewshot-omniglot")

    data: str = "omniglot"


@dataclass(frozen=True)
class FewShotMiniImageNet(AbstractFewShot):
    """Photographs of classes that were never seen."""

    name = "zucchet2022/fewshot-miniimagenet"
    title = "Photographs told apart after one example"
    rotations = False
    scale = PIXELS["miniimagenet"]
    presets = load_presets(__file__, "fewshot-miniimagenet")

    data: str = "miniimagenet"
    meta_steps: int = 200 * EPOCH
    meta_batch: int = 4
    channels: tuple[int, ...] = (32, 32, 32, 32)
    polyak_from: int = 50 * EPOCH
    tuned_for: str = "mini"
