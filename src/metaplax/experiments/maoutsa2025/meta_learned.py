"""Three-factor rules that are polynomials in activity and fluctuation, meta-learned by three meta-gradients.

Maoutsa, Meta-learning three-factor plasticity rules for structured credit assignment with sparse feedback,
arXiv:2512.09366, 2025.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key, PyTree

from metaplax.analysis import Quantity
from metaplax.data import ImageSet
from metaplax.estimators import AbstractEstimator, EvolutionStrategies, ForwardMode
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError, Load
from metaplax.experiments.maoutsa2025.polynomial import Immediate, polynomial_learner
from metaplax.experiments.miconi2017.dnms import nonmatch
from metaplax.experiments.presets import load_presets
from metaplax.experiments.studies.gradient_error import compared
from metaplax.experiments.studies.measured import Measured
from metaplax.experiments.studies.meta_training import MetaTraining, Untrained
from metaplax.experiments.studies.transfer import Transfer
from metaplax.learners import PlasticLearner, freeze
from metaplax.networks import TargetLevels
from metaplax.plasticity import FluctuationPolynomial
from metaplax.runs import ReportOptions
from metaplax.tasks import DelayedNonMatch
from metaplax.tasks.working_memory import TYPES

LABELS = {
    "forward": "exact (forward mode)",
    "es": "evolution strategies",
    "immediate": "published estimator",
    "theta11": "only the product of activity and fluctuation, exact",
    "zero": "no plasticity but decay",
    "toy": "published estimator against the exact one",
}
ANSWERS = {"nonmatch": (-0.98, 0.98, 0.98, -0.98), "first": (-0.98, -0.98, 0.98, 0.98)}
"""What output the types of trials, AA, AB, BA and BB, ask for."""


def is_theta(path: tuple) -> bool:
    """Whether a leaf of the meta-parameters is a coefficient of the polynomial."""
    return ".theta[" in jax.tree_util.keystr(path)


def lasso(strength: float) -> optax.GradientTransformation:
    """Adds the derivative of an L1 penalty on the coefficients of the polynomial to a gradient."""

    def added(gradient: PyTree, parameters: PyTree) -> PyTree:
        one = lambda path, g, p: g + strength * jnp.sign(p) if is_theta(path) else g  # noqa: E731
        return jax.tree_util.tree_map_with_path(one, gradient, parameters)

    return optax.stateless(added)


def bias(given: tuple[PlasticLearner, DelayedNonMatch], key: Key[Array, ""]) -> dict[str, Array]:
    """The published estimator beside the exact meta-gradient, with respect to the coefficients of the polynomial."""
    (learner, task), (task_key, key) = given, jax.random.split(key)
    episode = task.sample(task_key)
    found = (one.value_and_grad(learner, episode, key).gradient for one in (Immediate(), ForwardMode()))
    return compared(*(gradient.rule.terms[0].term.theta for gradient in found))


@dataclass(frozen=True)
class Polynomial(AbstractExperiment):
    """Nine coefficients and two time constants are meta-learned, and scored by the error after learning.

    The error is the mean distance from the target over further trials, so that less is more reward.

    Attributes:
        arms: meta-gradients, and the controls theta11 (one coefficient), zero (none) and toy (the bias).
        answer: whether the output says that the stimuli differ, as in Miconi (2017), or which was the first.
        meta_steps: number of meta-steps.
        meta_batch: episodes per meta-step.
        test_episodes: episodes that each repetition is scored on.
        examples: trials that a network learns from in an episode.
        queries: trials of every type that it is scored on.
        silent: trials at the start without plasticity.
        neurons: size of the network.
        dt: milliseconds per step of time.
        outer_rate: learning rate of Adam.
        start: the coefficient of the product of activity and fluctuation at the start; all others are zero.
        tau_e: time constant of the trace at the start, in milliseconds.
        tau_w: time constant of the decay of the weights at the start, in trials.
        clip: largest change of a weight in a trial.
        l1: factor of an L1 penalty on the coefficients.
        pairs: pairs of perturbed episodes of evolution strategies.
        sd: standard deviation of their perturbations.
    """

    name = "maoutsa2025/dnms"
    title = "Polynomial three-factor rules by three meta-gradients"
    source: ClassVar[str] = "Maoutsa (2025)"
    labels: ClassVar[Mapping[str, str]] = LABELS
    condition_labels: ClassVar[Mapping[str, str]] = {"test": "further episodes"}
    presets = load_presets(__file__, "dnms")

    trials: int = 3
    data: str = "none"
    arms: tuple[str, ...] = tuple(LABELS)
    answer: Literal["nonmatch", "first"] = "nonmatch"
    meta_steps: int = 500
    meta_batch: int = 8
    test_episodes: int = 40
    examples: int = 1000
    queries: int = 4
    silent: int = 24
    neurons: int = 200
    dt: int = 1
    outer_rate: float = 3e-3
    start: float = 0.01
    tau_e: float = 1000.0
    tau_w: float = 1000.0
    clip: float = 0.01
    l1: float = 0.0
    pairs: int = 8
    sd: float = 5e-3

    def __post_init__(self):
        super().__post_init__()
        self.require_some("arms", LABELS)
        self.require_positive("meta_steps", "meta_batch", "test_episodes", "examples", "queries", "neurons", "dt")
        self.require_positive("outer_rate", "tau_e", "tau_w", "clip", "pairs", "sd")
        self.require_not_negative("silent", "l1")
        if self.dt > 15:
            raise ConfigError(f"steps of {self.dt} ms are too coarse for neurons with a time constant of 30 ms")

    def report_options(self) -> ReportOptions:
        return ReportOptions(20, "meta-step", headline=("loss",), loss_unit="mean distance from the target")

    def tested(self, examples: int) -> DelayedNonMatch:
        """The task, with so many trials to learn from."""
        task = nonmatch(self.neurons, self.dt, 1000, 200, (199, 199))
        return DelayedNonMatch(
            examples=examples, queries=self.queries, steps=task.steps, duration=task.duration, gaps=task.gaps,
            perturbations=task.perturbations,
        )  # fmt: skip

    def learner(self, arm: str, silent: int) -> PlasticLearner:
        """The learner of an arm before meta-training."""
        theta = jnp.zeros((3, 3)).at[1, 1].set(0.0 if arm == "zero" else self.start)
        task, scored = self.tested(TYPES), 200 // self.dt
        found = polynomial_learner(task, theta, self.tau_e / self.dt, self.tau_w, scored, silent, self.clip)
        found = eqx.tree_at(lambda it: it.network.readout, found, TargetLevels(ANSWERS[self.answer]))
        others = [name for name in theta_of(found) if name != "11"]
        return freeze(found, lambda it: [theta_of(it)[name] for name in others]) if arm == "theta11" else found

    def estimator(self, arm: str) -> AbstractEstimator:
        """The meta-gradient of an arm."""
        known = {"es": EvolutionStrategies(pairs=self.pairs, sd=self.sd), "immediate": Immediate()}
        return known.get(arm, ForwardMode())

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del data, load
        found: dict[str, AbstractStudy] = {}
        optimizer = optax.chain(optax.clip_by_global_norm(1.0), lasso(self.l1), optax.adam(self.outer_rate))
        task = self.tested(self.examples)
        for arm in self.arms:
            if arm == "toy":
                found[arm] = Measured(bias, (self.learner(arm, 0), self.tested(2)))
                continue
            learner = self.learner(arm, self.silent)
            training = Untrained(learner)
            if arm != "zero":
                training = MetaTraining(
                    learner, task, self.estimator(arm), optimizer, self.meta_steps, meta_batch=self.meta_batch
                )
            found |= {arm: training, f"{arm}.test": Transfer(arm, training, learner, task, self.test_episodes)}
        return found

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        found = []
        for arm in ("forward", "es", "immediate"):
            mine = quantities.get(f"loss.{arm}.test")
            for control in ("zero", "theta11"):
                other = quantities.get(f"loss.{control}.test")
                if mine and other and len(mine.values) == len(other.values) > 1:
                    wins = sum(one < two for one, two in zip(mine.values, other.values, strict=True))
                    found.append(f"{self.label(arm)} has less error than {self.label(control)} in {wins} of {mine.n}")
        return tuple(found)


def theta_of(learner: PlasticLearner) -> dict[str, Any]:
    """The coefficients of the polynomial by their powers."""
    polynomial = learner.rule.terms[0].term  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(polynomial, FluctuationPolynomial)
    return polynomial.theta
