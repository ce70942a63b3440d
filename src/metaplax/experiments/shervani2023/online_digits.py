"""Figures 1 and S1: ten digits are learned in one pass by given rules, without meta-learning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from metaplax.analysis import Quantity, alignment_angles, feedback_cosines, per_trial
from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError, Load, config_errors
from metaplax.experiments.pairs import difference_findings, differences
from metaplax.experiments.presets import load_presets
from metaplax.experiments.shervani2023.online import LABELS, PAPER, PUBLISHED, check_sizes
from metaplax.experiments.studies.online_learning import OnlineLearning, OnlineSearch
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
        search = self._search(train, stream)
        stream = stream if search is None else eqx.tree_at(lambda it: it.train, stream, search.stream.train)
        return {arm: OnlineLearning(self._learner(arm), stream, self.every, pieces, search) for arm in self.arms}

    def _search(self, train: ImageSet, stream: ImageStream) -> OnlineSearch | None:
        """How learning rates are chosen; by default they are given."""
        del train, stream
        return None

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
class FigS1Searched(AbstractOnlineDigits):
    """Figure S1 with the learning rate of each of them searched on validation images, in trials of its own.

    Attributes:
        rates: learning rates that are tried.
    """

    name = "shervani2023/figS1-searched"
    title = "Direct feedback alignment beside backprop and feedback alignment, each at its best learning rate"
    arms = ("bp", "fa", "dfa")
    by_hand = FigS1.by_hand
    labels = LABELS["figS1-searched"]
    presets = load_presets(__file__, "figS1-searched")
    compared: ClassVar = (("dfa", "fa"), ("bp", "dfa"))

    trials: int = 20
    rates: tuple[float, ...] = (3e-4, 5e-4, 8e-4, 1.3e-3, 2e-3, 3.5e-3, 6e-3, 1e-2, 1.7e-2, 2.8e-2, 4.6e-2, 8e-2)

    def __post_init__(self):
        super().__post_init__()
        if not self.rates or not all(0 < rate < float("inf") for rate in self.rates):
            raise ConfigError(f"rates needs one positive number or several, not {self.rates}")

    def _search(self, train: ImageSet, stream: ImageStream) -> OnlineSearch:
        with config_errors():
            others, validation = train.divided(min(MOST_TEST_IMAGES, max(self.queries, len(train.images) // 6)))
        return OnlineSearch(self.rates, ImageStream(others, validation, self.queries), self.report_options().averaged)

    def further_quantities(self, rows: Sequence[Mapping[str, Any]]) -> list[Quantity]:
        options, descriptions = self.report_options(), {arm: self.describe(arm) for arm in self.arms}
        return differences(per_trial(rows, descriptions, options), self.compared, options.loss_unit)

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        rates = {arm: quantities[f"theta0.{arm}"].mean for arm in self.arms if f"theta0.{arm}" in quantities}
        found = [f"{self.label(arm)}: the best learning rate is {rate:g}" for arm, rate in rates.items()]
        edges = [min(self.rates), max(self.rates)]
        if at_edge := [self.label(arm) for arm, rate in rates.items() if np.isclose(rate, edges).any()]:
            found.append(f"the best learning rate is at the edge of what was searched: {', '.join(at_edge)}")
        return (*found, *difference_findings(quantities, self.compared, self.label))


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
