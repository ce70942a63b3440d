"""How every few-shot method is run: as published, or for fewer meta-steps.

Zucchet et al., A contrastive rule for meta-learning, NeurIPS 2022, section 5.3, and code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import optax

from metaplax.estimators import AbstractEstimator, Checkpointed, ConjugateGradient, Contrastive, Reptile, Truncated
from metaplax.experiments.presets import load_settings
from metaplax.experiments.zucchet2022.settings import AbstractSettings
from metaplax.optim import polyak_average

Fast = Literal["all", "readout", "coefficients"]
Rule = Literal["contrastive", "maml", "first_order", "reptile", "imaml", "none"]

EPOCH = 125
"""Meta-steps that the published code calls an epoch."""


@dataclass(frozen=True, kw_only=True)
class FewShotSettings(AbstractSettings):
    """How one few-shot method is run.

    Attributes:
        rule: how it is meta-learned.
        fast: the part of the network that changes within a task.
        test_steps: inner steps on further tasks.
        solver_steps: steps of conjugate gradients.
        damping: number added to the curvature in their linear system.
        outer_decay: factor by which the outer learning rate is multiplied every ``outer_decay_every`` meta-steps.
        outer_decay_every: meta-steps between two such changes.
    """

    rule: Rule
    fast: Fast = "all"
    test_steps: int
    solver_steps: int = 0
    damping: float = 0.0
    outer_decay: float = 1.0
    outer_decay_every: int = 1

    def outer_optimizer(self, polyak_from: int, restart_every: int | None) -> optax.GradientTransformation:
        """Adam, and a running average of the meta-parameters, see ``metaplax.optim.polyak_average``."""
        rate = optax.exponential_decay(self.outer_rate, self.outer_decay_every, self.outer_decay, staircase=True)
        return optax.chain(optax.adam(rate), polyak_average(polyak_from, restart_every))

    def estimator(self) -> AbstractEstimator:
        """The meta-gradient."""
        match self.rule:
            case "contrastive":
                return Contrastive(self.beta, "symmetric", self.nudged_descent())
            case "first_order":
                return Truncated(0, reach_start=True)
            case "reptile":
                return Reptile()
            case "imaml":
                return ConjugateGradient(self.solver_steps, self.damping, throw=False)
            case _:
                return Checkpointed()


SETTINGS: Mapping[str, Mapping[str, FewShotSettings]] = load_settings(
    __file__, "few_shot_settings.toml", FewShotSettings
)
"""Settings of every method, by ``tuned_for``."""

QUOTED: Mapping[tuple[str, int, int], Mapping[str, float]] = {
    ("omniglot", 5, 1): {"maml": 0.987, "fomaml": 0.983, "reptile": 0.9768, "imaml": 0.9916},
    ("omniglot", 5, 5): {"maml": 0.999, "fomaml": 0.992, "reptile": 0.9948, "imaml": 0.9967},
    ("omniglot", 20, 1): {"maml": 0.958, "fomaml": 0.894, "reptile": 0.8943, "imaml": 0.9446},
    ("omniglot", 20, 5): {"maml": 0.989, "fomaml": 0.979, "reptile": 0.9712, "imaml": 0.9869},
    ("miniimagenet", 5, 1): {"maml": 0.487, "fomaml": 0.4807, "reptile": 0.4997, "imaml": 0.4896},
}
"""Published accuracies of rivals by data set, ways and shots; those of iMAML with gradient descent inside."""
