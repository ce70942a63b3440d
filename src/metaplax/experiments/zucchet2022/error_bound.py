"""Measures the error of meta-gradients against the nudging factor beta, for inexact solutions of the inner problem.

Zucchet et al., A contrastive rule for meta-learning, NeurIPS 2022, section 4: the error is bounded by the sum of a
term that grows with beta and one that grows with the distance to the solution of the inner problem divided by beta.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from metaplax.analysis import Published
from metaplax.data import ImageSet
from metaplax.estimators import T1T2, AbstractEstimator, ConjugateGradient, Contrastive, Neumann
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError, Load
from metaplax.experiments.presets import load_presets
from metaplax.experiments.studies.gradient_error import GradientError, Problem
from metaplax.experiments.zucchet2022.quadratic import Quadratic, RandomBowls
from metaplax.experiments.zucchet2022.settings import PAPER
from metaplax.learners import Inexact, MetaRegularised, Newton
from metaplax.networks import AbstractReadout, EquinoxNetwork, SoftmaxCrossEntropy, SquaredError
from metaplax.runs import ReportOptions, StudyDescription
from metaplax.tasks import Table

SIZE = 20
"""Parameters of the quadratic problem."""

DECAY = 0.05
"""Decay of every weight in the problems with real data."""

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
    solution.

    Attributes:
        lowest: smallest beta, as a power of ten.
        highest: largest beta, as a power of ten.
        points: number of values of beta, evenly spaced on a logarithmic axis.
        misses: euclidean distances by which the inner loop misses its solution; zero is always added.
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

    @property
    def betas(self) -> tuple[float, ...]:
        """Nudging factors at which errors are measured."""
        return tuple(float(beta) for beta in np.logspace(self.lowest, self.highest, self.points))

    def report_options(self) -> ReportOptions:
        headline = ("slope", "least_error", "best_beta")
        return ReportOptions(axis="nudging factor beta", headline=headline, x_values=self.betas)

    def describe(self, study: str) -> StudyDescription:
        problem, miss, estimator = self._arms()[study]
        variant = f"missed by {miss:g}" if miss else ""
        return StudyDescription(study, "", ESTIMATORS[estimator][0], PROBLEMS[problem][0], variant)

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del data, load
        found = {}
        for arm, (problem, miss, estimator) in self._arms().items():
            minimiser = Inexact(Newton(), miss) if miss else Newton()
            found[arm] = GradientError(PROBLEMS[problem][1], minimiser, ESTIMATORS[estimator][1], self.betas)
        return found

    def _arms(self) -> dict[str, tuple[str, float, str]]:
        """For every arm: the problem, the distance by which the inner loop misses its solution, and the estimator."""
        problems = PROBLEMS if self.real else ("quadratic",)
        return {
            f"{problem}_{name}" + (f"_miss{miss:g}".replace(".", "p") if miss else ""): (problem, miss, name)
            for problem, miss, name in product(problems, (0.0, *self.misses), ESTIMATORS)
        }


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
