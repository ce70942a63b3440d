"""Figs. 1 and S1: ten digits, one pass, no meta-learning: how many images does each rule need?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from metaplax.analysis import Published, alignment_angles
from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError, Load
from metaplax.experiments.online_learning import OnlineLearning
from metaplax.experiments.shervani2023.online import FEEDBACK, PAPER, RULES
from metaplax.feedback import Symmetric
from metaplax.learners import OnlinePlasticity
from metaplax.networks import MLP
from metaplax.plasticity import Rule
from metaplax.tasks import ImageStream

MOST_TEST_IMAGES = 10_000


@dataclass(frozen=True)
class AbstractOnlineDigits(AbstractExperiment):
    """One network learns a stream of images once, by rules whose coefficients are given.

    Attributes:
        images: length of the stream.
        every: images between two scores.
        queries: images to be scored on, not in the stream.
        sizes: neurons per layer, input first.
    """

    coefficients: ClassVar[Mapping[str, tuple[float, ...]]]
    arms: ClassVar[tuple[str, ...]]
    source: ClassVar[str] = PAPER
    axis: ClassVar[str] = "image"
    averaged: ClassVar[int] = 10
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "smoke": {"images": 40, "every": 20, "trials": 2, "queries": 20, "sizes": (784, 24, 16, 47), "data": "glyphs"},
        "quick": {"trials": 4},
        "paper": {},
    }

    data: str = "mnist"
    images: int = 10_000
    every: int = 100
    queries: int = 1000
    sizes: tuple[int, ...] = (784, 170, 130, 100, 70, 47)

    def __post_init__(self):
        for name in ("trials", "images", "every", "queries"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")
        if self.images % self.every:
            raise ConfigError(f"images must be a multiple of every = {self.every}, not {self.images}")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed must be in 0 ... 4294967295, not {self.seed}")
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ConfigError(f"sizes needs at least two layers of at least one neuron each, not {self.sizes}")

    @property
    def stride(self) -> int:
        return self.every

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del load
        try:
            train, test = data.divided(min(MOST_TEST_IMAGES, max(self.queries, len(data.images) // 6)))
            stream = ImageStream(train, test, self.queries)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        if self.images > len(train.images):
            raise ConfigError(f"{data.name} leaves {len(train.images)} images to learn from, fewer than {self.images}")
        pieces = self.images // self.every
        return {arm: OnlineLearning(self._learner(arm), stream, self.every, pieces) for arm in self.arms}

    def _learner(self, arm: str) -> OnlinePlasticity:
        rule, _, _ = arm.partition("_hand")
        start = RULES[rule]()
        feedback = Symmetric() if rule == "bp" else FEEDBACK["direct" if rule == "dfa" else "random"]()
        fixed = Rule(start.terms, start.coefficients.filled(self.coefficients[arm]))
        return OnlinePlasticity(MLP(self.sizes), fixed, feedback, probes=(alignment_angles,))


@dataclass(frozen=True)
class Fig1(AbstractOnlineDigits):
    """Accuracy against images seen: meta-learned coefficients, and for feedback alignment those once set by hand."""

    name = "shervani2023/fig1"
    title = "Feedback alignment learns poorly in deep networks"
    arms = ("bp", "fa", "fa_hand", "dfa", "f_bio")
    coefficients: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "bp": (0.0176,),
        "fa": (0.0109,),
        "fa_hand": (0.0029,),
        "dfa": (0.0021,),
        "f_bio": (0.0117, -0.0463, 0.0056),
    }
    labels: ClassVar[Mapping[str, str]] = {
        "bp": "backprop (BP)",
        "fa": "feedback alignment (FA), meta-learned rate",
        "fa_hand": "feedback alignment (FA), rate set by hand",
        "dfa": "direct feedback alignment (DFA), rate set by hand",
        "f_bio": "three-term rule (F_bio)",
    }
    published: ClassVar[Mapping[str, Published]] = {
        "onset.fa_hand": Published(2000.0, "text on Fig. 1a: begins to learn effectively after about 2,000 images")
    }


@dataclass(frozen=True)
class FigS1(AbstractOnlineDigits):
    """Direct feedback alignment beside backprop and feedback alignment, all with one learning rate that suits each."""

    name = "shervani2023/figS1"
    title = "Direct feedback alignment is better than feedback alignment, and worse than backprop"
    arms = ("bp", "fa", "dfa")
    coefficients: ClassVar[Mapping[str, tuple[float, ...]]] = {"bp": (0.0029,), "fa": (0.0029,), "dfa": (0.0021,)}
    labels: ClassVar[Mapping[str, str]] = {
        "bp": "backprop (BP)",
        "fa": "feedback alignment (FA)",
        "dfa": "direct feedback alignment (DFA)",
    }
