"""A reward rule with decay inferred from the choices of simulated flies: polynomials, a network, and no plasticity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import numpy as np

from metaplax.analysis import Quantity, over_trials
from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractStudy, AbstractTraining, Load
from metaplax.experiments.mehta2024.base import AbstractInference
from metaplax.experiments.mehta2024.oja import recovered
from metaplax.experiments.presets import load_presets, load_tables
from metaplax.experiments.studies.meta_training import Untrained
from metaplax.inference import (
    OF_CHOICES,
    SimulatedFly,
    choosing_start,
    network_rule,
    polynomial,
    replaying_choices,
    with_coefficients,
)
from metaplax.learners import PlasticLearner, freeze
from metaplax.plasticity import L1, Rule
from metaplax.tasks import Simulations

ARMS = ("taylor", "no_decay", "mlp", "true", "null")
PAIRS = (("taylor", "no_decay"), ("taylor", "mlp"), ("true", "taylor"))


@dataclass(frozen=True)
class Choices(AbstractInference):
    """Flies learn by x (R - E[R]) - decay w which odour is rewarded; the rule is inferred from what they accept.

    The model replays the choices and rewards of a fly; its initial weights and the noise of its inputs are unknown.

    Attributes:
        arms: what is fitted: taylor, a polynomial of 18 terms; no_decay, the 9 of them without the weight; mlp, a
            network as a rule; true, the rule that made the data, not fitted; null, the polynomial fitted to flies that
            do not learn.
        flies: how many flies the rule is inferred from.
        hidden: neurons between odours and choice, whose inputs are plastic.
        decay: of the weights, in the rule of the flies.
        block: trials in each of the three blocks.
        offers: longest experiment, in offers.
        window: the expected reward is the mean of so many rewards.
    """

    name = "mehta2024/choices"
    title = "A reward rule with forgetting inferred from choices"
    labels: ClassVar[Mapping[str, str]] = load_tables(__file__, "labels.toml", "choices")
    condition_labels: ClassVar[Mapping[str, str]] = {"held_out": "held out"}
    presets = load_presets(__file__, "choices")
    loss_unit: ClassVar[str] = "nats per offer"

    trials: int = 5
    meta_steps: int = 2400
    rate: float = 5e-3
    optimizer: Literal["full-matrix", "adam"] = "adam"
    penalty: float = 0.03
    held_out: int = 8
    arms: tuple[str, ...] = ARMS
    flies: int = 8
    hidden: int = 10
    decay: float = 0.05
    block: int = 80
    offers: int = 600
    window: int = 10

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("flies", "hidden", "block", "offers", "window")
        self.require_not_negative("decay")
        self.require_some("arms", ARMS)

    def rule(self, arm: str) -> Rule:
        """The rule of one arm before it is fitted; that of the flies for the arm true."""
        highest = 0 if arm == "no_decay" else 1
        taylor = polynomial(OF_CHOICES, highest={"weight": highest})
        if arm == "mlp":
            return network_rule(OF_CHOICES, jax.random.key(self.seed))
        return with_coefficients(taylor, {"p110": 1.0, "p001": -self.decay}) if arm == "true" else taylor

    def learner(self, arm: str) -> PlasticLearner:
        """The learner of one arm before it is fitted."""
        penalty = L1(self.penalty) if self.penalty and arm in ("taylor", "no_decay", "null") else None
        start = choosing_start(jax.random.key(self.seed), 2, self.hidden)
        learner = replaying_choices(2, self.hidden, self.rule(arm), start=start, penalty=penalty)
        return freeze(learner, lambda it: it.start)

    def recordings(self, teacher: PlasticLearner, *, held_out: bool = False) -> Simulations:
        """Flies that learn like the teacher; those that are held out come with their weights and inputs."""
        fly = SimulatedFly(teacher, self.block, self.offers, self.window, known=held_out)
        return Simulations(fly, *((self.held_out, "held out") if held_out else (self.flies, "fitted")))

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del data, load
        found: dict[str, AbstractStudy] = {}
        for arm in self.arms:
            learner, teacher = self.learner(arm), self.learner("null" if arm == "null" else "true")
            training: AbstractTraining = Untrained(learner)
            if arm != "true":
                training = self.fitted(learner, self.recordings(teacher))
            found |= self.scored(arm, training, learner, self.recordings(teacher, held_out=True), teacher)
        return found

    def further_quantities(self, rows: Sequence[Mapping[str, Any]]) -> list[Quantity]:
        scores = {row["study"]: np.asarray(row["explained"], float) for row in rows if "explained" in row}
        pairs = [(one, other, scores.get(f"{one}.held_out"), scores.get(f"{other}.held_out")) for one, other in PAIRS]
        return [
            over_trials(f"explained_difference.{one}.{other}", mine - theirs, "percent")
            for one, other, mine, theirs in pairs
            if mine is not None and theirs is not None
        ]

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        told = [recovered(arm, quantities, self.label(arm)) for arm in self.arms]
        for one, other in PAIRS:
            if more := quantities.get(f"explained_difference.{one}.{other}"):
                told.append(
                    f"{self.label(one)} explains {more.with_interval()} points of held-out deviance more than"
                    f" {self.label(other)}"
                )
        return tuple(told)
