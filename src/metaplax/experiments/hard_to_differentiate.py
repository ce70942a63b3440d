"""Two inner loops through which a derivative says little: actions are sampled in one, the other one is very long."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, PyTree

from metaplax.data import ImageSet
from metaplax.estimators import AbstractEstimator, EvolutionStrategies, PersistentES
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, Load
from metaplax.experiments.presets import load_presets
from metaplax.experiments.registry import register
from metaplax.experiments.studies.meta_training import MetaTraining
from metaplax.feedback import RandomFixed
from metaplax.learners import AbstractLearner, IncompatibleError, OnlinePlasticity
from metaplax.networks import MLP, SoftmaxCrossEntropy
from metaplax.plasticity import rules
from metaplax.runs import ReportOptions
from metaplax.tasks import AbstractTask, Episode, Examples, from_function

INPUTS, CLASSES, QUERIES = 10, 5, 100
START = (0.1, 0.05)
"""Coefficients of the pseudo-gradient and of Oja's rule with which weights stay bounded, but move chaotically."""


def teacher(examples: int) -> AbstractTask:
    """Random vectors, each with the number of the output that a random linear network answers most strongly with."""

    def sample(key: Key[Array, ""]) -> Episode:
        weights_key, *keys = jax.random.split(key, 3)
        weights = jax.random.normal(weights_key, (CLASSES, INPUTS))

        def some(key: Key[Array, ""], count: int) -> Examples:
            x = jax.random.normal(key, (count, INPUTS))
            return Examples(x, jnp.argmax(x @ weights.T, axis=1).astype(jnp.int32))

        return Episode(some(keys[0], examples), some(keys[1], QUERIES))

    return from_function(sample, classes=CLASSES)


class RewardGated(AbstractLearner):
    """A linear softmax policy that learns from the reward of the actions that it samples, by REINFORCE.

    ``W <- W + rate (r - b) (onehot(action) - probabilities) x^T`` and ``b <- b + rate_b (r - b)``, where the reward
    ``r`` is 1 for the right action and else 0. The logarithms of both rates are meta-learned. Source: Williams (1992).
    """

    log_rates: Float[Array, "2"]

    def init(self, key: Key[Array, ""]) -> PyTree:
        del key
        return jnp.zeros((CLASSES, INPUTS)), jnp.zeros(())

    def update(self, state: PyTree, example: Examples, key: Key[Array, ""]) -> PyTree:
        (weights, baseline), (rate, baseline_rate) = state, jnp.exp(self.log_rates)
        logits = weights @ example.x
        action = jax.random.categorical(key, logits)
        surprise = (action == example.y).astype(logits.dtype) - baseline
        gradient = jnp.outer(jax.nn.one_hot(action, CLASSES) - jax.nn.softmax(logits), example.x)
        return weights + rate * surprise * gradient, baseline + baseline_rate * surprise

    def evaluate(self, state: PyTree, query: Examples) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        logits, readout = query.x @ state[0].T, SoftmaxCrossEntropy()
        return readout.loss(logits, query.y), readout.metrics(logits, query.y)

    def check(self, episode: Episode, classes: int | None = None) -> None:
        if episode.support.x.shape[1:] != (INPUTS,) or classes != CLASSES:
            raise IncompatibleError(f"this policy takes vectors of {INPUTS} numbers and {CLASSES} classes")


@dataclass(frozen=True)
class AbstractHard(AbstractExperiment):
    """One learner, meta-trained by an estimator that needs no derivative; ``compare-estimators`` takes others as well.

    Attributes:
        meta_steps: number of meta-steps.
        meta_batch: episodes per meta-step.
        examples: examples to learn from, one update each.
        outer_rate: learning rate of Adam.
    """

    arm: ClassVar[str]
    data: str = "none"
    trials: int = 5
    meta_steps: int = 100
    meta_batch: int = 4
    examples: int = 200
    outer_rate: float = 0.05

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("meta_steps", "meta_batch", "examples", "outer_rate")
        self.require_at_most(10**6, "examples")

    def report_options(self) -> ReportOptions:
        return ReportOptions(averaged=10, axis="meta-step")

    @abstractmethod
    def learner(self) -> AbstractLearner:
        """The learner before meta-training."""

    @abstractmethod
    def estimator(self) -> AbstractEstimator:
        """The estimator that it is meta-trained by."""

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del data, load
        optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(self.outer_rate))
        task, meta = teacher(self.examples), (self.meta_steps, None, self.meta_batch)
        return {self.arm: MetaTraining(self.learner(), task, self.estimator(), optimizer, *meta)}


@register
@dataclass(frozen=True)
class SampledActions(AbstractHard):
    """Learning rates of a policy that samples its actions, and learns from their rewards."""

    name = "sampled-actions"
    title = "An inner loop that samples actions"
    arm = "reward_gated"
    labels: ClassVar = {"reward_gated": "REINFORCE with a baseline"}
    presets = load_presets(__file__, "sampled-actions")

    def learner(self) -> RewardGated:
        return RewardGated(jnp.log(jnp.asarray([0.03, 0.03])))

    def estimator(self) -> EvolutionStrategies:
        return EvolutionStrategies(sd=0.1, fresh_keys=True)


@register
@dataclass(frozen=True)
class LongInnerLoop(AbstractHard):
    """Coefficients of Oja's rule beside the pseudo-gradient, over thousands of updates that move chaotically."""

    name = "long-inner-loop"
    title = "An inner loop of 10,000 updates"
    arm = "oja"
    labels: ClassVar = {"oja": "Oja's rule under random feedback"}
    presets = load_presets(__file__, "long-inner-loop")

    examples: int = 10_000
    outer_rate: float = 2e-3
    meta_batch: int = 1

    def learner(self) -> AbstractLearner:
        rule = rules.oja()
        filled = rule.coefficients.filled(START)
        return OnlinePlasticity(MLP((INPUTS, 16, 16, CLASSES)), replace(rule, coefficients=filled), RandomFixed())

    def estimator(self) -> PersistentES:
        return PersistentES(1000, sd=1e-2)
