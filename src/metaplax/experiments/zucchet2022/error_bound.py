"""Measures the error of meta-gradients against the nudging factor beta, for inexact solutions of the inner problem.

Zucchet et al., A contrastive rule for meta-learning, NeurIPS 2022, section 4: the error is bounded by the sum of a
term that grows with beta and one that grows with the distance to the solution of the inner problem divided by beta.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import product
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from metaplax.analysis import Published
from metaplax.data import ImageSet
from metaplax.estimators import T1T2, AbstractEstimator, ConjugateGradient, Contrastive, Neumann
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError, Load
from metaplax.experiments.presets import load_presets
from metaplax.experiments.studies.gradient_error import GradientError, Problem
from metaplax.experiments.zucchet2022.quadratic import Quadratic, RandomBowls
from metaplax.experiments.zucchet2022.settings import PAPER
from metaplax.learners import AbstractMinimiser, Descent, Inexact, MetaRegularised, Newton
from metaplax.networks import AbstractReadout, EquinoxNetwork, SoftmaxCrossEntropy, SquaredError
from metaplax.runs import ReportOptions, StudyDescription
from metaplax.tasks import Table

SIZE = 20
"""Parameters of the quadratic problem."""

DECAY = 0.05
"""Decay of every weight in the problems with real data."""

DESCENT_RATE = 0.1
"""Learning rate of the descents, at which all three problems converge."""

ESTIMATORS: dict[str, tuple[str, AbstractEstimator]] = {
    "forward": ("contrastive", Contrastive(1.0)),
    "symmetric": ("contrastive, symmetric", Contrastive(1.0, "symmetric")),
    "second_order": ("contrastive, second order", Contrastive(1.0, "second_order")),
    "cg": ("conjugate gradients, 10 steps", ConjugateGradient(10, throw=False)),
    "neumann": ("Neumann series, 50 terms", Neumann(0.1, 50, throw=False)),
    "t1t2": ("T1-T2", T1T2(throw=False)),
}
"""Every estimator with its label."""


@dataclass(frozen=True)
class ErrorBound(AbstractExperiment):
    """Relative error of every estimator against the exact meta-gradient.

    Arms are named "problem_estimator", with "_miss" and a distance where the inner loop ends at that distance from its
    solution in a random direction, and with "_steps" and a number where it is a descent of so many steps, from whose
    end the nudged phase goes on.

    Attributes:
        lowest: smallest beta, as a power of ten.
        highest: largest beta, as a power of ten.
        points: number of values of beta, evenly spaced on a logarithmic axis.
        misses: euclidean distances by which the inner loop misses its solution; zero is always added.
        inner_steps: numbers of steps of a descent that ends before its solution.
        real: whether to use real data besides the quadratic problem, which needs scikit-learn.
    """

    name = "zucchet2022/error-bound"
    title = "The error of a meta-gradient, and what it depends on"
    source: ClassVar[str] = PAPER
    published: ClassVar[Mapping[str, Published]] = {
        f"slope.quadratic_{variant}": Published(slope, "theory: order of the finite difference in beta")
        for variant, slope in {"forward": 1.0, "symmetric": 2.0, "second_order": 2.0}.items()
    }
    presets = load_presets(__file__, "error-bound")

    trials: int = 20
    data: str = "none"
    lowest: float = -4.0
    highest: float = 2.0
    points: int = 25
    misses: tuple[float, ...] = (1e-4, 1e-3, 1e-2)
    inner_steps: tuple[int, ...] = (30, 100, 300)
    real: bool = True

    def __post_init__(self):
        super().__post_init__()
        self.require_at_most(10_000, "points")
        if self.points < 5 or not self.lowest < self.highest:
            raise ConfigError(
                f"at least 5 points from lowest to highest are needed, not {self.points} from {self.lowest} to"
                f" {self.highest}"
            )
        if min(self.misses, default=1) <= 0:
            raise ConfigError(f"misses must be positive, not {self.misses}")
        if min(self.inner_steps, default=1) < 1 or len(set(self.inner_steps)) < len(self.inner_steps):
            raise ConfigError(f"inner_steps are different whole numbers from 1 on, not {self.inner_steps}")

    @property
    def betas(self) -> tuple[float, ...]:
        """Nudging factors at which errors are measured."""
        return tuple(float(beta) for beta in np.logspace(self.lowest, self.highest, self.points))

    def report_options(self) -> ReportOptions:
        headline = ("slope", "least_error", "best_beta", "least_margin")
        return ReportOptions(axis="nudging factor beta", headline=headline, x_values=self.betas)

    def describe(self, study: str) -> StudyDescription:
        arm = self._arms()[study]
        return StudyDescription(study, "", ESTIMATORS[arm.estimator][0], PROBLEMS[arm.problem][0], arm.variant)

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del data, load
        found = {}
        for name, arm in self._arms().items():
            estimator = ESTIMATORS[arm.estimator][1]
            if isinstance(arm.minimiser, Descent):
                estimator = replace(estimator, nudged=arm.minimiser)
            found[name] = GradientError(PROBLEMS[arm.problem][1], arm.minimiser, estimator, self.betas)
        return found

    def _arms(self) -> dict[str, "Arm"]:
        problems = PROBLEMS if self.real else ("quadratic",)
        minimisers: dict[tuple[str, str], AbstractMinimiser] = {("", ""): Newton()}
        for miss in self.misses:
            minimisers[f"_miss{miss:g}".replace(".", "p"), f"missed by {miss:g}"] = Inexact(Newton(), miss)
        found = {
            f"{problem}_{name}{suffix}": Arm(problem, name, minimiser, variant)
            for problem, ((suffix, variant), minimiser), name in product(problems, minimisers.items(), ESTIMATORS)
        }
        for problem, steps in product(problems, self.inner_steps):
            descent = Descent(optax.sgd(1.0), steps, rate=DESCENT_RATE)
            found[f"{problem}_forward_steps{steps}"] = Arm(problem, "forward", descent, f"{steps} steps")
        return found


class Arm(NamedTuple):
    """The problem, the estimator, the minimiser of the inner loop, and how the legend tells it from others."""

    problem: str
    estimator: str
    minimiser: AbstractMinimiser
    variant: str


def quadratic() -> Problem:
    """Complex synapses on random bowls."""
    omega, strength = (jax.random.normal(key, (SIZE,)) for key in jax.random.split(jax.random.key(0)))
    return Quadratic(omega=omega, strength=jnp.exp(strength)), RandomBowls(SIZE)


def ridge() -> Problem:
    """Regression of the progress of diabetes on ten measurements, with a decay for every weight."""
    x, y = table("load_diabetes")
    y = ((y - y.mean()) / y.std())[:, None]
    return linear(x.shape[1], 1, SquaredError()), Table(x, jnp.asarray(y))


def logistic() -> Problem:
    """Classification of tumours by thirty measurements, with a decay for every weight."""
    x, y = table("load_breast_cancer")
    return linear(x.shape[1], 2, SoftmaxCrossEntropy()), Table(x, jnp.asarray(y, jnp.int32), outputs=2)


def linear(features: int, outputs: int, readout: AbstractReadout) -> MetaRegularised:
    """A linear model with a decay for every weight."""
    network = EquinoxNetwork(lambda key: eqx.nn.Linear(features, outputs, key=key))
    return MetaRegularised(network, readout, Newton(), DECAY)


def table(loader: str) -> tuple[Any, np.ndarray]:
    """Standardised features and targets of a table that comes with scikit-learn.

    Raises:
        ConfigError: scikit-learn is not installed.
    """
    try:
        sets = import_module("sklearn.datasets")
    except ImportError as error:
        raise ConfigError('real data need scikit-learn: pip install "metaplax[theory]", or --no-real') from error
    x, y = getattr(sets, loader)(return_X_y=True)
    return jnp.asarray((x - x.mean(axis=0)) / x.std(axis=0)), np.asarray(y)


PROBLEMS: dict[str, tuple[str, Callable[[], Problem]]] = {
    "quadratic": ("quadratic", quadratic),
    "ridge": ("ridge regression (diabetes)", ridge),
    "logistic": ("logistic regression (breast cancer)", logistic),
}
"""Every problem with its label."""
