"""The settings that all methods of this paper share, and the meta-gradients that they stand for."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import optax

from metaplax import estimators
from metaplax.estimators.contrastive import Variant
from metaplax.experiments.presets import load_tables
from metaplax.learners import Descent

PAPER = "Zucchet et al. (2022)"
PIXELS = load_tables(__file__, "pixels.toml")
Optimizer = Literal["adam", "sgd", "sgd_nesterov"]
Rule = Literal["contrastive", "unrolled", "truncated", "reptile", "t1t2", "cg", "neumann", "search", "none"]


@dataclass(frozen=True, kw_only=True)
class AbstractSettings:
    """How one method adapts within a task, and how it is meta-learned.

    Attributes:
        rule: the meta-gradient; or a search at random, or none at all.
        optimizer: optimiser of the inner loop.
        rate: its learning rate.
        steps: inner steps.
        outer_rate: learning rate of Adam on the meta-parameters.
        meta_batch: tasks per meta-step.
        strength: strength of the pull to the consolidated weights.
        beta: nudging factor beta of the contrastive rule.
        variant: variant of that rule.
        nudged_rate: learning rate of its nudged phases; by default that of the inner loop.
        nudged_steps: steps of each nudged phase.
        terms: steps of conjugate gradients, terms of the Neumann series, or steps that truncated backprop goes through,
            without any of which it is first-order MAML.
        damping: number added to the curvature by conjugate gradients.
        neumann_rate: step size of the Neumann series.
    """

    eps_root: ClassVar[float] = 0.0
    """A number above zero makes Adam differentiable where gradients are exactly zero."""

    rule: Rule
    optimizer: Optimizer = "sgd"
    rate: float
    steps: int
    outer_rate: float = 0.0
    meta_batch: int = 1
    strength: float = 0.0
    beta: float = 0.0
    variant: Variant = "symmetric"
    nudged_rate: float | None = None
    nudged_steps: int = 0
    terms: int = 0
    damping: float = 0.0
    neumann_rate: float = 1.0

    def descent(self, steps: int | None = None, batch: int | None = None) -> Descent:
        """The inner loop; by default with all of ``steps``, each on all examples."""
        return self._descent(self.rate, steps or self.steps, batch)

    def nudged_descent(self, steps: int | None = None, batch: int | None = None) -> Descent:
        """A nudged phase, likewise."""
        rate = self.rate if self.nudged_rate is None else self.nudged_rate
        return self._descent(rate, steps or self.nudged_steps, batch)

    def _descent(self, rate: float, steps: int, batch: int | None) -> Descent:
        """The learning rate is that of the descent, not of its optimiser, so that another one compiles nothing."""
        return Descent(inner_optimizer(self.optimizer, 1.0, self.eps_root), steps, batch, rate=rate)

    def estimator(
        self, steps: int | None = None, batch: int | None = None, as_released: bool = False
    ) -> estimators.AbstractEstimator:
        """The meta-gradient; the arguments are those of nudged phases, and of ``Contrastive``."""
        match self.rule:
            case "contrastive":
                nudged = self.nudged_descent(steps, batch)
                return estimators.Contrastive(self.beta, self.variant, nudged, as_released)
            case "truncated":
                return estimators.Truncated(self.terms, reach_start=True)
            case "reptile":
                return estimators.Reptile()
            case "t1t2":
                return estimators.T1T2(throw=False)
            case "cg":
                return estimators.ConjugateGradient(self.terms, self.damping, throw=False)
            case "neumann":
                return estimators.Neumann(self.neumann_rate, self.terms, throw=False)
            case _:
                return estimators.Checkpointed()


def inner_optimizer(name: Optimizer, rate: float, eps_root: float = 0.0) -> optax.GradientTransformation:
    """Adam, gradient descent, or gradient descent with a Nesterov momentum of 0.9."""
    if name == "adam":
        return optax.adam(rate, eps_root=eps_root)
    return optax.sgd(rate) if name == "sgd" else optax.sgd(rate, momentum=0.9, nesterov=True)
