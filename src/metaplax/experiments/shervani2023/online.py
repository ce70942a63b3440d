"""Meta-learns the coefficients of plasticity rules on online character recognition.

Shervani-Tabar & Rosenbaum, Meta-learning biologically plausible plasticity rules with random feedback
pathways, Nature Communications 14:1805 (2023), Algorithm 1: the network starts afresh in every episode.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from metaplax.analysis import Published, alignment_angles, orthonormality_error
from metaplax.data import ImageSet
from metaplax.estimators import ESTIMATORS, EstimatorName
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError, Load, config_errors
from metaplax.experiments.presets import load_presets, load_settings, load_tables
from metaplax.experiments.studies.meta_training import MetaTraining
from metaplax.feedback import AbstractFeedback, Direct, KolenPollack, RandomFixed, SignSymmetric, Symmetric
from metaplax.learners import AbstractLearner, OnlinePlasticity, PlasticLearner, split
from metaplax.networks import MLP
from metaplax.optim import clip_by_running_rms, rescaled
from metaplax.plasticity import L1, AbstractPenalty, NoPenalty, Rule, rules
from metaplax.tasks import OnlineClassification
from metaplax.training import Rollback, stable_scales

PAPER = "Shervani-Tabar & Rosenbaum (2023)"
LABELS = load_tables(__file__, "labels.toml")
"""What figures and tables call the arms, by table of the file and name of the arm."""

PUBLISHED = load_settings(__file__, "published.toml", Published)
"""Published numbers, by table of the file and name of the quantity."""

RULES: dict[str, Callable[..., Rule]] = dict.fromkeys(("bp", "fa", "dfa"), rules.gradient)
RULES |= {"ehebb": rules.ehebb, "oja": rules.oja, "f_bio": rules.f_bio, "pool": rules.pool}
FEEDBACK: dict[str, type[AbstractFeedback]] = {
    "random": RandomFixed,
    "direct": Direct,
    "symmetric": Symmetric,
    "sign_symmetric": SignSymmetric,
    "kolen_pollack": KolenPollack,
}
MOST_WEIGHTS = 10**9
CLIP = 2.0
"""With safeguards, how far a component of the meta-gradient may exceed its recent root mean square."""

CEILING = 1.5
"""With safeguards, the outer loss above which an episode has exploded, in multiples of the loss of chance."""

MARGIN = 0.5
"""With safeguards, how far the running mean of the outer loss may rise, in nats."""


@dataclass(frozen=True)
class OnlineRuleLearning(AbstractExperiment):
    """Meta-learn the coefficients of one or more rules, each on the same episodes.

    Attributes:
        meta_steps: meta-steps per rule.
        ways: classes per episode.
        shots: images per class to learn from, in one pass.
        queries: images per class to be scored on.
        sizes: neurons per layer, input first.
        feedback: feedback pathway of all rules but backprop.
        sharing: which synapses share a coefficient.
        meta_learning_rate: learning rate of Adam on the coefficients.
        meta_gradient_clip: largest norm of a meta-gradient.
        safeguards: keep meta-training away from where episodes explode: every coefficient is meta-learned in a scale
            that is measured before, components of the meta-gradient are clipped to twice their recent size, episodes
            that end with 1.5 times the loss of chance are left out, and when the running mean of the loss has risen
            by 0.5 nats, meta-training goes back to where it was lowest.
        l1: factor of the L1 penalty on the coefficients.
        held_out: number of classes that meta-training never sees.
        estimator: how the meta-gradient is computed; all of them give the same result.
        as_released: do what the published code does where that differs from the article: classes with replacement,
            the first images of a class in every episode, a stale feedback matrix in backprop's meta-gradient, and no
            clipping.
    """

    arms: ClassVar[tuple[str, ...]]
    source = PAPER
    labels = LABELS["rules"]
    presets = load_presets(__file__, "online")

    meta_steps: int = 600
    ways: int = 5
    shots: int = 50
    queries: int = 10
    sizes: tuple[int, ...] = (784, 170, 130, 100, 70, 47)
    feedback: Literal["random", "direct", "symmetric", "sign_symmetric", "kolen_pollack"] = "random"
    sharing: Literal["global", "layer", "neuron", "synapse"] = "global"
    meta_learning_rate: float = 1e-3
    meta_gradient_clip: float = 1000.0
    safeguards: bool = False
    l1: float = 0.0
    held_out: int = 0
    estimator: EstimatorName = "reversible"
    as_released: bool = False

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("meta_steps", "ways", "shots", "queries", "meta_learning_rate", "meta_gradient_clip")
        self.require_not_negative("l1", "held_out")
        check_sizes(self.sizes)

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del load
        return dict(self.trainings(data))

    def trainings(self, data: ImageSet) -> dict[str, MetaTraining]:
        """Meta-training of every arm, on the same episodes."""
        task, found = self.task(data), {}
        for arm in self.arms:
            learner = self.learner(arm)
            found[arm] = MetaTraining(
                learner=learner,
                task=task,
                estimator=ESTIMATORS[self.estimator](),
                optimizer=self.optimizer(arm, learner, self.scales(learner, task)),
                meta_steps=self.meta_steps,
                rollback=Rollback(CEILING * log(self.sizes[-1]), MARGIN) if self.safeguards else Rollback(),
            )
        return found

    def learner(self, arm: str) -> PlasticLearner:
        """The learner of one arm, at the start of meta-training."""
        return OnlinePlasticity(
            network=MLP(self.sizes),
            rule=self.rule(arm),
            feedback=self.pathway(arm),
            penalty=self.penalty(arm),
            probes=(alignment_angles, orthonormality_error),
        )

    def rule(self, arm: str) -> Rule:
        """The rule of one arm, at the start of meta-training."""
        return RULES[arm](self.sharing, self.sizes)

    def pathway(self, arm: str) -> AbstractFeedback:
        """The feedback pathway of one arm."""
        if arm == "bp":
            return Symmetric("as_released" if self.as_released else "exact")
        return FEEDBACK["direct" if arm == "dfa" else self.feedback]()

    def penalty(self, arm: str) -> AbstractPenalty:
        """The penalty on the coefficients of one arm."""
        del arm
        return L1(self.l1) if self.l1 > 0 else NoPenalty()

    def task(self, data: ImageSet) -> OnlineClassification:
        """The distribution of episodes of meta-training."""
        return self.episodes_of(data, meta_training_classes(len(data.class_names), self.held_out))

    def episodes_of(self, data: ImageSet, allowed: tuple[int, ...] | None) -> OnlineClassification:
        """Episodes of some classes of a data set, or of all."""
        released = {"replacement": self.as_released, "fixed_images": self.as_released}
        with config_errors():
            return OnlineClassification(data, self.ways, self.shots, self.queries, allowed=allowed, **released)

    def scales(self, learner: PlasticLearner, task: OnlineClassification) -> tuple[float, ...] | None:
        """A scale for the coefficient of every term; ``None`` to meta-learn coefficients as they are."""
        # A single coefficient is a learning rate: there is nothing to weigh it against.
        if not self.safeguards or len(learner.rule.terms) == 1:
            return None
        return stable_scales(learner, task, jax.random.key(self.seed), self.meta_learning_rate)

    def optimizer(
        self, arm: str, learner: PlasticLearner, scales: tuple[float, ...] | None
    ) -> optax.GradientTransformation:
        """The outer optimiser of one arm."""
        steps = (optax.adam(self.meta_learning_rate), *self.selection(arm))
        if self.as_released:
            return optax.chain(*steps)
        if scales is None:
            return optax.chain(optax.clip_by_global_norm(self.meta_gradient_clip), *steps)
        return rescaled(optax.chain(clip_by_running_rms(CLIP), *steps), per_coefficient(learner, scales))

    def selection(self, arm: str) -> tuple[optax.GradientTransformation, ...]:
        """Transformations of what the optimiser returns, such as a selection of terms; by default none."""
        del arm
        return ()


def check_sizes(sizes: tuple[int, ...]) -> None:
    """Refuse networks without weights, and those that are too large for any machine, by a ``ConfigError``."""
    if len(sizes) < 2 or min(sizes) < 1:
        raise ConfigError(f"sizes needs at least two layers of at least one neuron each, not {sizes}")
    weights = sum(pre * post for pre, post in itertools.pairwise(sizes))
    if weights > MOST_WEIGHTS:
        raise ConfigError(f"sizes asks for {weights:,} weights; more than {MOST_WEIGHTS:,} do not fit a machine")


def per_coefficient(learner: PlasticLearner, values: tuple[float, ...]) -> AbstractLearner:
    """The meta-parameters of a learner with one value per term in place of its coefficients, and ones elsewhere."""
    ones = jax.tree.map(jnp.ones_like, split(learner)[0])
    filled = split(learner)[0].rule.coefficients.filled(values)
    return eqx.tree_at(lambda tree: tree.rule.coefficients, ones, filled)


def meta_training_classes(classes: int, held_out: int) -> tuple[int, ...]:
    """Labels of the classes that meta-training sees if ``held_out`` of them are held out: the same in every run."""
    order = np.random.default_rng(0).permutation(classes)
    return tuple(sorted(int(label) for label in order[held_out:]))
