"""Figures 1 and S1: ten digits are learned in one pass by given rules, without meta-learning."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from metaplax.analysis import Quantity, alignment_angles, feedback_cosines
from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError, Load, config_errors
from metaplax.experiments.presets import load_presets
from metaplax.experiments.shervani2023.online import LABELS, PAPER, PUBLISHED, check_sizes
from metaplax.experiments.studies.online_learning import OnlineLearning
from metaplax.feedback import Direct, RandomFixed, Symmetric
from metaplax.learners import OnlinePlasticity, PlasticLearner
from metaplax.learners.plastic_learner import Probe
from metaplax.networks import MLP
from metaplax.plasticity import Hebb, rules
from metaplax.runs import ReportOptions
from metaplax.tasks import ImageStream

MOST_TEST_IMAGES = 10_000


@dataclass(frozen=True)
class AbstractOnlineDigits(AbstractExperiment):
    """One network learns a stream of images once, by rules whose coefficients are given.

    Attributes:
        images: length of the stream, in images.
        every: images between two scores.
        queries: images to be scored on, which are not in the stream.
        sizes: neurons per layer, input first.
    """

    by_hand: ClassVar[Mapping[str, float]]
    """Learning rates of arms whose rule was not meta-learned."""
    arms: ClassVar[tuple[str, ...]]
    probes: ClassVar[tuple[Probe, ...]] = (alignment_angles,)
    source = PAPER
    presets = load_presets(__file__, "digits")

    data: str = "mnist"
    images: int = 10_000
    every: int = 100
    queries: int = 1000
    sizes: tuple[int, ...] = (784, 170, 130, 100, 70, 47)

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("images", "every", "queries")
        if self.images % self.every:
            raise ConfigError(f"images must be a multiple of every = {self.every}, not {self.images}")
        check_sizes(self.sizes)

    def report_options(self) -> ReportOptions:
        return ReportOptions(averaged=10, axis="image", stride=self.every)

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del load
        with config_errors():
            train, test = data.divided(min(MOST_TEST_IMAGES, max(self.queries, len(data.images) // 6)))
            stream = ImageStream(train, test, self.queries)
        if self.images > len(train.images):
            raise ConfigError(f"{data.name} leaves {len(train.images)} images to learn from, fewer than {self.images}")
        pieces = self.images // self.every
        return {arm: OnlineLearning(self._learner(arm), stream, self.every, pieces) for arm in self.arms}

    def _learner(self, arm: str) -> PlasticLearner:
        feedback = {"bp": Symmetric(), "dfa": Direct()}.get(arm, RandomFixed())
        if arm in self.by_hand:
            start = rules.make([Hebb()]) if arm == "hebb" else rules.gradient()
            rule = replace(start, coefficients=start.coefficients.filled((self.by_hand[arm],)))
        else:
            rule = rules.load(f"shervani2023/{arm}")
        return OnlinePlasticity(MLP(self.sizes), rule, feedback, probes=self.probes)


@dataclass(frozen=True)
class Fig1(AbstractOnlineDigits):
    """Accuracy against images seen: meta-learned coefficients, and for feedback alignment those once set by hand."""

    name = "shervani2023/fig1"
    title = "Feedback alignment learns poorly in deep networks"
    arms = ("bp", "fa", "fa_hand", "dfa", "f_bio")
    by_hand: ClassVar[Mapping[str, float]] = {"fa_hand": 0.0029, "dfa": 0.0021}
    labels = LABELS["fig1"]
    published = PUBLISHED["fig1"]


@dataclass(frozen=True)
class FigS1(AbstractOnlineDigits):
    """Direct feedback alignment beside backprop and feedback alignment, all with one learning rate that suits each."""

    name = "shervani2023/figS1"
    title = "Direct feedback alignment beside backprop and feedback alignment"
    arms = ("bp", "fa", "dfa")
    by_hand: ClassVar[Mapping[str, float]] = {"bp": 0.0029, "fa": 0.0029, "dfa": 0.0021}
    labels = LABELS["figS1"]


@dataclass(frozen=True)
class Fig6(AbstractOnlineDigits):
    """How forward weights come to resemble the feedback weights, layer by layer, by meta-learned rules.

    A Hebbian rule on activities alone, without any error, is run beside them.
    """

    name = "shervani2023/fig6"
    title = "Hebbian plasticity on the errors turns forward weights towards the feedback weights"
    arms = ("fa", "ehebb", "oja", "f_bio", "hebb")
    by_hand: ClassVar[Mapping[str, float]] = {"hebb": 1e-3}
    probes = (alignment_angles, feedback_cosines)
    labels = LABELS["fig6"]

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        found = []
        for layer in range(2, len(self.sizes)):
            each = {arm: quantities.get(f"feedback_cosine{layer}.{arm}") for arm in ("ehebb", "fa")}
            said = [f"{self.label(arm)} {cosine.with_interval()}" for arm, cosine in each.items() if cosine]
            found.append(f"cosine between forward and feedback weights of layer {layer}: {', '.join(said)}")
        for arm in self.arms:
            if exploded := quantities.get(f"explosion.{arm}"):
                found.append(f"{self.label(arm)}: exploded in {exploded.n} of {self.trials} trials")
        return tuple(found)
