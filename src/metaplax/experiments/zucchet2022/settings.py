"""The settings that all methods of this paper share."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import optax

from metaplax.learners import Descent

PAPER = "Zucchet et al. (2022)"
Optimizer = Literal["adam", "sgd", "sgd_nesterov"]


@dataclass(frozen=True, kw_only=True)
class AbstractSettings:
    """How one method adapts within a task, and how it is meta-learned.

    Attributes:
        optimizer: optimiser of the inner loop.
        rate: its learning rate.
        steps: inner steps.
        outer_rate: learning rate of Adam on the meta-parameters.
        meta_batch: tasks per meta-step.
        strength: strength of the pull to the consolidated weights.
        beta: nudging factor beta; 0 without nudged phases.
        nudged_rate: learning rate of the nudged phases; by default that of the inner loop.
        nudged_steps: steps of each nudged phase.
    """

    eps_root: ClassVar[float] = 0.0
    """A number above zero makes Adam differentiable where gradients are exactly zero."""

    optimizer: Optimizer = "sgd"
    rate: float
    steps: int
    outer_rate: float = 0.0
    meta_batch: int = 1
    strength: float = 0.0
    beta: float = 0.0
    nudged_rate: float | None = None
    nudged_steps: int = 0

    def descent(self, steps: int | None = None, batch: int | None = None) -> Descent:
        """The inner loop; by default with all of ``steps``, each on all examples."""
        return Descent(inner_optimizer(self.optimizer, self.rate, self.eps_root), steps or self.steps, batch)

    def nudged_descent(self, steps: int | None = None, batch: int | None = None) -> Descent:
        """A nudged phase."""
        rate = self.rate if self.nudged_rate is None else self.nudged_rate
        return Descent(inner_optimizer(self.optimizer, rate, self.eps_root), steps or self.nudged_steps, batch)


def inner_optimizer(name: Optimizer, rate: float, eps_root: float = 0.0) -> optax.GradientTransformation:
    """Adam, gradient descent, or gradient descent with a Nesterov momentum of 0.9."""
    if name == "adam":
        return optax.adam(rate, eps_root=eps_root)
    return optax.sgd(rate) if name == "sgd" else optax.sgd(rate, momentum=0.9, nesterov=True)
