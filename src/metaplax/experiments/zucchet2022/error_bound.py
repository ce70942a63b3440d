"""How good is a meta-gradient? Its error against nudging strength and against what the inner loop misses.

Zucchet et al., A contrastive rule for meta-learning, NeurIPS 2022, section 4: the error is bounded by the sum of a
term that grows with the nudging strength and one that grows with the inner solution error divided by it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from metaplax.analysis import Published
from metaplax.data import ImageSet
from metaplax.estimators import T1T2, AbstractEstimator, ConjugateGradient, Contrastive, ImplicitDirect, Neumann
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError, Load
from metaplax.experiments.studies.gradient_error import GradientError, Problem
from metaplax.experiments.zucchet2022.metaopt import PAPER
from metaplax.experiments.zucchet2022.quadratic import Quadratic, RandomBowls
from metaplax.learners import AbstractMinimiser, Inexact, MetaRegularised, Newton
from metaplax.networks import AbstractReadout, EquinoxNetwork, SoftmaxCrossEntropy, SquaredError
from metaplax.tasks import Table

SIZE = 20
"""Parameters of the quadratic problem."""

STRENGTH = 0.05
"""Of the regulariser of real data, for every weight."""

ESTIMATORS: dict[str, AbstractEstimator] = {
    "forward": Contrastive(1.0),
    "symmetric": Contrastive(1.0, "symmetric"),
    "second_order": Contrastive(1.0, "second_order"),
    "cg": ConjugateGradient(10, throw=False),
    "neumann": Neumann(0.1, 50, throw=False),
    "t1t2": T1T2(throw=False),
}
LABELS = {
    "forward": "contrastive",
    "symmetric": "contrastive, symmetric",
    "second_order": "contrastive, second order",
    "cg": "conjugate gradients, 10 steps",
    "neumann": "Neumann series, 50 terms",
    "t1t2": "T1-T2",
}
PROBLEMS = {
    "quadratic": "quadratic",
    "ridge": "ridge regression (diabetes)",
    "logistic": "logistic regression (breast cancer)",
}
SLOPES = {"forward": 1.0, "symmetric": 2.0, "second_order": 2.0}


@dataclass(frozen=True)
class ErrorBound(AbstractExperiment):
    """Relative error of every estimator against the exact meta-gradient.

    Arms are named ``problem_estimator``, with ``_miss<distance>`` where the inner loop ends so far from its solution.

    Attributes:
        lowest: smallest nudging strength, as a power of ten.
        highest: largest one.
        points: how many there are, evenly spaced on the logarithmic axis.
        misses: Euclidean distances by which the inner loop misses its solution; zero is always among them.
        real: whether to use real data besides the quadratic, which needs scikit-learn.
    """

    name = "zucchet2022/error-bound"
    title = "The error of a meta-gradient, and what it depends on"
    source: ClassVar[str] = PAPER
    axis: ClassVar[str] = "nudging strength"
    headline: ClassVar[tuple[str, ...]] = ("slope", "least_error", "best_beta")
    published: ClassVar[Mapping[str, Published]] = {
        f"slope.quadratic_{variant}": Published(slope, "theory: order of the finite difference in the strength")
        for variant, slope in SLOPES.items()
    }
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "smoke": {"trials": 2, "points": 7, "misses": (1e-3,), "real": False},
        "quick": {"trials": 5, "points": 13},
        "paper": {},
    }

    trials: int = 20
    data: str = "none"
    lowest: float = -4.0
    highest: float = 2.0
    points: int = 25
    misses: tuple[float, ...] = (1e-4, 1e-3, 1e-2)
    real: bool = True

    def __post_init__(self):
        super().__post_init__()
        if self.points < 5 or not self.lowest < self.highest:
            raise ConfigError(
                f"at least 5 points from lowest to highest are needed, not {self.points} from {self.lowest} to"
                f" {self.highest}"
            )
        if min(self.misses, default=1) <= 0:
            raise ConfigError(f"misses must be positive, not {self.misses}")

    @property
    def places(self) -> tuple[float, ...]:
        return tuple(float(beta) for beta in np.logspace(self.lowest, self.highest, self.points))

    def label(self, study: str) -> str:
        problem, _, rest = study.partition("_")
        estimator, _, miss = rest.partition("_miss")
        return f"{PROBLEMS[problem]}: {LABELS[estimator]}" + (f", missed by {miss.replace('p', '.')}" if miss else "")

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del data, load
        found = {}
        for problem, make in self._problems().items():
            for miss in (0.0, *self.misses):
                for name, estimator in ESTIMATORS.items():
                    arm = f"{problem}_{name}" + (f"_miss{miss:g}".replace(".", "p") if miss else "")
                    found[arm] = self._study(make, estimator, miss)
        return found

    def _study(self, make: Callable[[AbstractMinimiser], Problem], estimator: AbstractEstimator, miss: float):
        is_nudged = isinstance(estimator, Contrastive)
        return GradientError(
            exact=partial(make, Newton()),
            problem=partial(make, Inexact(Newton(), miss) if miss else Newton()),
            reference=ImplicitDirect(throw=False),
            estimator=estimator,
            field="beta" if is_nudged else "",
            values=self.places if is_nudged else (0.0,),
            fitted=self._fitted(),
        )

    def _fitted(self) -> tuple[int, int]:
        """Slopes are fitted from the smallest strength to about a hundred times that."""
        near = [k for k, beta in enumerate(self.places) if beta <= 101 * self.places[0]]
        return 0, max(near[-1], 1)

    def _problems(self) -> dict[str, Callable[[AbstractMinimiser], Problem]]:
        if not self.real:
            return {"quadratic": quadratic}
        return {"quadratic": quadratic, "ridge": ridge, "logistic": logistic}


def quadratic(minimiser: AbstractMinimiser) -> Problem:
    """Complex synapses on random bowls."""
    keys = jax.random.split(jax.random.key(0))
    omega, strength = (jax.random.normal(key, (SIZE,)) for key in keys)
    return Problem(Quadratic(omega=omega, strength=jnp.exp(strength), minimiser=minimiser), RandomBowls(SIZE))


def ridge(minimiser: AbstractMinimiser) -> Problem:
    """Regression of the progress of diabetes on ten measurements, with a strength for every weight."""
    x, y = table("load_diabetes")
    y = ((y - y.mean()) / y.std())[:, None]
    return Problem(linear(x.shape[1], 1, SquaredError(), minimiser), Table(x, jnp.asarray(y)))


def logistic(minimiser: AbstractMinimiser) -> Problem:
    """Classification of tumours by thirty measurements, with a strength for every weight."""
    x, y = table("load_breast_cancer")
    task = Table(x, jnp.asarray(y, jnp.int32), outputs=2)
    return Problem(linear(x.shape[1], 2, SoftmaxCrossEntropy(), minimiser), task)


def linear(features: int, outputs: int, readout: AbstractReadout, minimiser: AbstractMinimiser) -> MetaRegularised:
    """A linear model with a strength for every weight."""
    network = EquinoxNetwork(lambda key: eqx.nn.Linear(features, outputs, key=key))
    return MetaRegularised(network, readout, minimiser, STRENGTH)


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
