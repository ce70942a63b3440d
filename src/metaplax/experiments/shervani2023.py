"""Meta-learning plasticity rules for random feedback: Figs. 3, 5, 7 and S2, and the quickstart.

Shervani-Tabar & Rosenbaum, Meta-learning biologically plausible plasticity rules with random feedback
pathways, Nature Communications 14:1805 (2023). In all of these, the coefficients of one or more rules are
meta-learned on 5-way online character recognition by a deep network that starts afresh in every episode.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite
from typing import ClassVar, Literal

import optax

from metaplax.analysis import Published, alignment_angles, orthonormality_error
from metaplax.data import ImageSet
from metaplax.estimators import ESTIMATORS, AbstractEstimator, EstimatorName
from metaplax.experiments.base import AbstractExperiment, ConfigError
from metaplax.feedback import AbstractFeedback, Direct, KolenPollack, RandomFixed, SignSymmetric, Symmetric
from metaplax.learners import AbstractLearner, OnlinePlasticity
from metaplax.networks import MLP
from metaplax.plasticity import L1, NoPenalty, Rule, rules
from metaplax.tasks import AbstractTask, OnlineClassification

PAPER = "Shervani-Tabar & Rosenbaum (2023)"
RULES = {
    "bp": rules.gradient,
    "fa": rules.gradient,
    "ehebb": rules.ehebb,
    "oja": rules.oja,
    "f_bio": rules.f_bio,
}
LABELS = {
    "bp": "backprop (BP)",
    "fa": "feedback alignment (FA)",
    "ehebb": "eHebb",
    "oja": "Oja",
    "f_bio": "three-term rule (F_bio)",
}
FEEDBACK: dict[str, type[AbstractFeedback]] = {
    "random": RandomFixed,
    "direct": Direct,
    "symmetric": Symmetric,
    "sign_symmetric": SignSymmetric,
    "kolen_pollack": KolenPollack,
}
MOST_WEIGHTS = 10**9
SMOKE = {"episodes": 4, "trials": 2, "sizes": (784, 24, 16, 47), "shots": 8, "queries": 4}
PRESETS = {"smoke": SMOKE, "quick": {"episodes": 150, "trials": 4}, "paper": {}}
BP_AND_FA = {
    "accuracy.bp": Published(0.70, "text on Fig. 3a, about 70 %"),
    "accuracy.fa": Published(0.25, "text on Fig. 3a, about 25 %"),
}


@dataclass(frozen=True)
class OnlineRuleLearning(AbstractExperiment):
    """Meta-learn the coefficients of one or more rules, each on the same episodes.

    Attributes:
        ways: classes per episode.
        shots: images per class to learn from, one pass.
        queries: images per class to be scored on.
        sizes: neurons per layer, input first.
        feedback: pathway of all rules but backprop.
        sharing: which synapses share a coefficient.
        meta_learning_rate: of Adam on the coefficients.
        meta_gradient_clip: largest norm of a meta-gradient; explosive episodes exceed it.
        l1: strength of the L1 penalty on the coefficients.
        estimator: how the meta-gradient is computed; all give the same.
        as_released: do what the published code does where that differs from the article: classes
            with replacement, the first images of a class in every episode, a stale feedback matrix
            in backprop's meta-gradient, and no clipping.
    """

    arms: ClassVar[tuple[str, ...]]
    source: ClassVar[str] = PAPER
    labels: ClassVar[Mapping[str, str]] = LABELS
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = PRESETS

    ways: int = 5
    shots: int = 50
    queries: int = 10
    sizes: tuple[int, ...] = (784, 170, 130, 100, 70, 47)
    feedback: Literal["random", "direct", "symmetric", "sign_symmetric", "kolen_pollack"] = "random"
    sharing: Literal["global", "layer", "neuron", "synapse"] = "global"
    meta_learning_rate: float = 1e-3
    meta_gradient_clip: float = 1000.0
    l1: float = 0.0
    estimator: EstimatorName = "reversible"
    as_released: bool = False

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not isfinite(value):
                raise ConfigError(f"{field.name} must be a finite number, not {value}")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed must be in 0 ... 4294967295, not {self.seed}")
        for name in ("episodes", "trials", "ways", "shots", "queries", "meta_learning_rate", "meta_gradient_clip"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")
        if self.l1 < 0:
            raise ConfigError(f"l1 must not be negative, but is {self.l1}")
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ConfigError(f"sizes needs at least two layers of at least one neuron each, not {self.sizes}")
        weights = sum(pre * post for pre, post in zip(self.sizes, self.sizes[1:], strict=False))
        if weights > MOST_WEIGHTS:
            raise ConfigError(f"sizes asks for {weights:,} weights; more than {MOST_WEIGHTS:,} do not fit a machine")

    def learners(self) -> dict[str, AbstractLearner]:
        return {arm: self._learner(arm) for arm in self.arms}

    def _learner(self, arm: str) -> OnlinePlasticity:
        return OnlinePlasticity(
            network=MLP(self.sizes),
            rule=self.rule(arm),
            feedback=self._feedback(arm),
            penalty=L1(self.l1) if self.l1 > 0 else NoPenalty(),
            probes=(alignment_angles, orthonormality_error),
        )

    def rule(self, arm: str) -> Rule:
        """The rule of one arm, at the start of meta-training."""
        return RULES[arm](self.sharing, self.sizes)

    def _feedback(self, arm: str) -> AbstractFeedback:
        if arm == "bp":
            return Symmetric("as_released" if self.as_released else "exact")
        return FEEDBACK[self.feedback]()

    def task(self, data: ImageSet) -> AbstractTask:
        try:
            return OnlineClassification(
                data,
                self.ways,
                self.shots,
                self.queries,
                replacement=self.as_released,
                fixed_images=self.as_released,
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def meta_gradient(self) -> AbstractEstimator:
        return ESTIMATORS[self.estimator]()

    def optimizer(self) -> optax.GradientTransformation:
        adam = optax.adam(self.meta_learning_rate)
        return adam if self.as_released else optax.chain(optax.clip_by_global_norm(self.meta_gradient_clip), adam)


@dataclass(frozen=True)
class Quickstart(OnlineRuleLearning):
    """Backprop, feedback alignment and a three-term rule on built-in characters, in a few minutes."""

    name = "quickstart"
    title = "A learned plasticity rule beside backprop and feedback alignment"
    arms = ("bp", "fa", "f_bio")
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "smoke": SMOKE,
        "quick": {},
        "paper": {"episodes": 600, "trials": 20},
    }

    episodes: int = 150
    trials: int = 4
    data: str = "glyphs"


@dataclass(frozen=True)
class Fig3(OnlineRuleLearning):
    """Backprop against feedback alignment, each with a meta-learned learning rate."""

    name = "shervani2023/fig3"
    title = "Feedback alignment fails where backprop succeeds"
    arms = ("bp", "fa")
    published = BP_AND_FA


@dataclass(frozen=True)
class Fig5(OnlineRuleLearning):
    """The pseudo-gradient with Hebbian plasticity on the errors (eHebb)."""

    name = "shervani2023/fig5"
    title = "Error-based Hebbian plasticity aligns the teaching signals"
    arms = ("ehebb",)
    published: ClassVar[Mapping[str, Published]] = {
        "accuracy.ehebb": Published(None, "text on Fig. 5: clearly above FA, below F_bio; no number is given")
    }


@dataclass(frozen=True)
class Fig7(OnlineRuleLearning):
    """The pseudo-gradient with Oja's rule."""

    name = "shervani2023/fig7"
    title = "Oja's rule improves learning without aligning the teaching signals"
    arms = ("oja",)
    published: ClassVar[Mapping[str, Published]] = {
        "accuracy.oja": Published(None, "text on Fig. 7: clearly above FA, angles hardly smaller; no number is given")
    }


@dataclass(frozen=True)
class FigS2(OnlineRuleLearning):
    """The three-term rule F_bio."""

    name = "shervani2023/figS2"
    title = "Three local terms rival backprop under random feedback"
    arms = ("f_bio",)
    published: ClassVar[Mapping[str, Published]] = {
        "accuracy.f_bio": Published(
            0.70, "inferred: Fig. S2 is said to equal Fig. 4, which approaches backprop (about 70 %)"
        )
    }
