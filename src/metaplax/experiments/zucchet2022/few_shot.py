"""Few-shot vision: a network that a few images of a few classes suffice for, by several ways of learning to learn.

Zucchet et al., A contrastive rule for meta-learning, NeurIPS 2022, section 5.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from metaplax.analysis import Published, Quantity
from metaplax.data import ImageSet
from metaplax.estimators import AbstractEstimator, Checkpointed, ConjugateGradient, Contrastive, Reptile, Truncated
from metaplax.experiments.base import (
    AbstractExperiment,
    AbstractStudy,
    AbstractTraining,
    ConfigError,
    Load,
)
from metaplax.experiments.studies.meta_training import MetaTraining, Untrained
from metaplax.experiments.studies.transfer import Transfer
from metaplax.experiments.zucchet2022.few_shot_settings import EPOCH, QUOTED, SETTINGS, Fast
from metaplax.learners import ComplexSynapse
from metaplax.networks import AbstractFunctionalNetwork, ConvBlocks, FastReadout, SoftmaxCrossEntropy, TemplateBlocks
from metaplax.tasks import FewShot

LABELS = {
    "cml": "contrastive, complex synapses",
    "cml_templates": "contrastive, modulated templates",
    "cml_head": "contrastive, readout only",
    "maml": "MAML",
    "fomaml": "first-order MAML",
    "reptile": "Reptile",
    "imaml": "iMAML (CG)",
    "anil": "ANIL",
    "scratch": "from scratch",
}


@dataclass(frozen=True)
class AbstractFewShot(AbstractExperiment):
    """Several ways of learning to learn from a few images of a few classes, scored on classes never seen.

    Attributes:
        arms: which methods; by default all.
        meta_steps: meta-steps.
        meta_batch: tasks per meta-step.
        test_episodes: further tasks that each trial is scored on.
        ways: classes per task.
        shots: images of each to learn from.
        queries: images of each to be scored on in meta-training.
        test_queries: images of each to be scored on in further tasks.
        channels: of each block of the network.
        templates: that modulated kernels are made of.
        polyak_from: meta-step from which on meta-parameters are averaged.
        tuned_for: whose rates are used: as published for ``"5w1s"``, ``"5w5s"``, ``"20w1s"``, ``"20w5s"`` on Omniglot
            and for ``"mini"``-ImageNet, ``"quick"``, ``"quick-wide"`` and ``"quick-20w1s"`` for fewer meta-steps, or
            ``"smoke"``.
        as_released: average as the published code does: counting starts again in every epoch.
    """

    source: ClassVar[str] = "Zucchet et al. (2022)"
    labels: ClassVar[Mapping[str, str]] = LABELS
    axis: ClassVar[str] = "meta-step"
    averaged: ClassVar[int] = 50
    by_cost: ClassVar[bool] = True
    splits: ClassVar[tuple[str, str]]
    rotations: ClassVar[bool]
    mean: ClassVar[tuple[float, ...]] = (0.0,)
    std: ClassVar[tuple[float, ...]] = (1.0,)

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
        self.require_positive(
            "meta_steps", "meta_batch", "test_episodes", "ways", "shots", "queries", "test_queries",
            "templates",
        )  # fmt: skip
        self.require_some("arms", LABELS)
        if self.polyak_from < 0:
            raise ConfigError(f"polyak_from must not be negative, but is {self.polyak_from}")
        if self.tuned_for not in SETTINGS:
            raise ConfigError(f"tuned_for is one of {', '.join(SETTINGS)}, not {self.tuned_for!r}")

    def published_values(self) -> Mapping[str, Published]:
        quoted = QUOTED.get((self.data, self.ways, self.shots), {})
        source = "in Rajeswaran et al. (2019), after whole meta-training"
        return {f"accuracy.{arm}.test": Published(quoted[arm], source) for arm in self.arms if arm in quoted}

    def label(self, study: str) -> str:
        arm, _, place = study.partition(".")
        return f"{super().label(arm)}, further tasks" if place else super().label(study)

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        seen, unseen = self._classes(data, load)
        train, test = self._task(*seen, self.queries, self.rotations), self._task(*unseen, self.test_queries, False)
        trainings = {arm: self._training(arm, train) for arm in self.arms}
        return {
            **trainings,
            **{
                f"{arm}.test": Transfer(arm, training, self.learner(arm, test, testing=True), test, self.test_episodes)
                for arm, training in trainings.items()
            },
        }

    def _classes(self, data: ImageSet, load: Load) -> tuple[tuple[ImageSet, range | None], ...]:
        """Images and classes for meta-training, and others."""
        if self.data in SPLITS:
            return (load(self.data, SPLITS[self.data][0]), None), (load(self.data, SPLITS[self.data][1]), None)
        kept = len(data.class_names) - len(data.class_names) // 3
        return (data, range(kept)), (data, range(kept, len(data.class_names)))

    def _task(self, data: ImageSet, allowed: range | None, queries: int, rotations: bool) -> FewShot:
        try:
            return FewShot(
                data, self.ways, self.shots, queries, rotations=rotations, allowed=allowed, mean=self.mean, std=self.std
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def _training(self, arm: str, task: FewShot) -> AbstractTraining:
        settings = SETTINGS[self.tuned_for][arm]
        if settings.rule == "none":
            return Untrained(self.learner(arm, task))
        return MetaTraining(
            learner=self.learner(arm, task),
            task=task,
            estimator=self.estimator(arm),
            optimizer=settings.outer(self.polyak_from, EPOCH if self.as_released else None),
            meta_steps=self.meta_steps,
            meta_batch=self.meta_batch,
        )

    def learner(self, arm: str, task: FewShot, *, testing: bool = False) -> ComplexSynapse:
        """The learner of one arm, at the start of meta-training or as it is scored."""
        settings = SETTINGS[self.tuned_for][arm]
        return ComplexSynapse(
            self.network(settings.fast, task),
            SoftmaxCrossEntropy(),
            settings.descent(settings.test_steps if testing else settings.steps),
            settings.strength,
            log_space=False,
            learn_strength=False,
        )

    def network(self, fast: Fast, task: FewShot) -> AbstractFunctionalNetwork:
        """What is trained, with so much of it fast."""
        images = task.bank.images
        colours = images.shape[3] if images.ndim == 4 else 1
        try:
            blocks = ConvBlocks(images.shape[1], colours, self.channels, outputs=self.ways)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        if fast == "all":
            return blocks
        return FastReadout(blocks) if fast == "readout" else TemplateBlocks(blocks, self.templates)

    def estimator(self, arm: str) -> AbstractEstimator:
        """The meta-gradient of one arm."""
        settings = SETTINGS[self.tuned_for][arm]
        match settings.rule:
            case "contrastive":
                return Contrastive(settings.beta, "symmetric", settings.nudged_descent())
            case "first_order":
                return Truncated(0, reach_start=True)
            case "reptile":
                return Reptile()
            case "imaml":
                return ConjugateGradient(settings.solver_steps, settings.damping, throw=False)
            case _:
                return Checkpointed()

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        found = []
        for arm in self.arms:
            accuracy = quantities.get(f"accuracy.{arm}.test")
            if accuracy:
                scored = f"accuracy {accuracy.with_interval()} on {self.test_episodes} further tasks"
                found.append(f"{self.label(arm)}: {scored}")
        return tuple(found)


SPLITS = {"omniglot": ("background", "evaluation"), "miniimagenet": ("train", "test")}
"""Classes for meta-training, and those that are kept for the end; of other data the last third is kept."""

SMOKE = {
    "trials": 2, "meta_steps": 2, "meta_batch": 2, "test_episodes": 2, "ways": 3, "queries": 2, "test_queries": 2,
    "channels": (4, 4, 4, 4), "templates": 5, "polyak_from": 0, "tuned_for": "smoke", "data": "glyphs",
}  # fmt: skip
QUICK_PRESET = {
    "trials": 3, "meta_steps": 1250, "meta_batch": 16, "queries": 3, "channels": (8, 16, 32, 64), "templates": 50,
    "polyak_from": 1040, "tuned_for": "quick", "arms": ("cml", "maml", "fomaml"),
}  # fmt: skip


@dataclass(frozen=True)
class FewShotOmniglot(AbstractFewShot):
    """Handwritten characters of alphabets that were never seen; turned ones count as classes in meta-training."""

    name = "zucchet2022/fewshot-omniglot"
    title = "Characters told apart after one or five examples"
    rotations = True
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "smoke": SMOKE,
        "quick": QUICK_PRESET,
        "quick-rivals": {**QUICK_PRESET, "arms": ("reptile", "imaml", "scratch")},
        "quick-parts": {**QUICK_PRESET, "arms": ("cml_templates", "cml_head", "anil")},
        "quick-wide": {
            **QUICK_PRESET,
            "channels": (16, 32, 64, 128),
            "meta_steps": 2000,
            "meta_batch": 8,
            "polyak_from": 1500,
            "tuned_for": "quick-wide",
            "arms": ("cml",),
        },
        "quick-20w1s": {
            **QUICK_PRESET,
            "ways": 20,
            "channels": (32, 32, 32, 32),
            "meta_steps": 800,
            "meta_batch": 2,
            "queries": 1,
            "polyak_from": 650,
            "tuned_for": "quick-20w1s",
            "arms": ("cml", "maml", "fomaml", "reptile", "imaml"),
        },
        "paper": {},
        "paper-5w5s": {"shots": 5, "tuned_for": "5w5s"},
        "paper-20w1s": {"ways": 20, "meta_batch": 16, "tuned_for": "20w1s"},
        "paper-20w5s": {"ways": 20, "shots": 5, "meta_batch": 16, "tuned_for": "20w5s"},
    }

    data: str = "omniglot"


@dataclass(frozen=True)
class FewShotMiniImageNet(AbstractFewShot):
    """Photographs of classes that were never seen."""

    name = "zucchet2022/fewshot-miniimagenet"
    title = "Photographs told apart after one example"
    rotations = False
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "smoke": SMOKE,
        "quick": {**QUICK_PRESET, "channels": (4, 8, 16, 32), "meta_steps": 750, "polyak_from": 620},
        "paper": {},
    }

    data: str = "miniimagenet"
    meta_steps: int = 200 * EPOCH
    meta_batch: int = 4
    channels: tuple[int, ...] = (32, 32, 32, 32)
    polyak_from: int = 50 * EPOCH
    tuned_for: str = "mini"
