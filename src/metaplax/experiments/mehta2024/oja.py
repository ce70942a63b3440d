"""Oja's rule recovered from recorded activity, with noise and with neurons that are not recorded."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any, ClassVar

import jax

from metaplax.analysis import Published, Quantity
from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractStudy, ConfigError, Load
from metaplax.experiments.mehta2024.base import AbstractInference
from metaplax.experiments.presets import load_presets
from metaplax.inference import (
    OF_ACTIVITY,
    SimulatedLayer,
    network_rule,
    polynomial,
    replaying_activity,
    with_coefficients,
)
from metaplax.learners import PlasticLearner
from metaplax.plasticity import L1
from metaplax.runs import StudyDescription
from metaplax.tasks import Simulations

OJA = {"p110": 1.0, "p021": -1.0}
"""``x y - y^2 w``: coefficients by the powers of what is before and behind the synapse, and of its weight."""
FAMILIES = ("taylor", "mlp")


@dataclass(frozen=True)
class AbstractOja(AbstractInference):
    """A layer of sigmoid neurons that learns by Oja's rule from random inputs; its initial weights are known.

    Attributes:
        neurons: number of inputs, and of output neurons.
        trajectories: how many experiments the rule is inferred from.
        steps: steps of each.
        weight_sd: standard deviation of the initial weights.
        hide_inputs: whether inputs are recorded in part, too, and what was not recorded is replaced by other draws, as
            published; if not, all inputs are known and output neurons alone are missing.
    """

    neurons: int = 20
    trajectories: int = 20
    steps: int = 50
    weight_sd: float = 0.1
    hide_inputs: bool = True

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("neurons", "trajectories", "steps", "weight_sd")

    def learner(self, family: str, *, is_teacher: bool = False) -> PlasticLearner:
        """The learner with a rule of this family at its start, or with Oja's rule."""
        taylor = polynomial(OF_ACTIVITY)
        if is_teacher:
            return replaying_activity(self.neurons, self.neurons, with_coefficients(taylor, OJA))
        rule = taylor if family == "taylor" else network_rule(OF_ACTIVITY, jax.random.key(self.seed))
        penalty = L1(self.penalty) if family == "taylor" and self.penalty else None
        return replaying_activity(self.neurons, self.neurons, rule, penalty=penalty)

    def recordings(self, noise: float, recorded: float, steps: int, *, held_out: bool = False) -> Simulations:
        """Simulated experiments; those that are held out are recorded in full and without noise."""
        seen = self.neurons if held_out else max(1, round(recorded * self.neurons))
        known = seen if self.hide_inputs else self.neurons
        layer = SimulatedLayer(
            self.learner("taylor", is_teacher=True), steps, self.weight_sd, 0.0 if held_out else noise, (seen, known)
        )
        count = self.held_out if held_out else self.trajectories
        return Simulations(layer, count, "held out" if held_out else "fitted")

    def arm(self, name: str, family: str, noise: float, recorded: float, steps: int) -> dict[str, AbstractStudy]:
        """The studies of one arm."""
        learner = self.learner(family)
        training = self.fitted(learner, self.recordings(noise, recorded, steps))
        # All arms are scored on the same experiments, however long those are that their rule is inferred from.
        further = self.recordings(noise, recorded, self.steps, held_out=True)
        return self.scored(name, training, learner, further, self.learner(family, is_teacher=True))


@dataclass(frozen=True)
class OjaRecovery(AbstractOja):
    """Oja's rule from the activity of a layer: as a polynomial of 27 terms, or as a small network.

    Attributes:
        families: kinds of rules that are fitted: taylor, mlp.
        noise: standard deviation of the noise that is added to the recorded activity.
        recorded: fraction of the neurons that are recorded, on both sides of the synapses.
    """

    name = "mehta2024/oja"
    title = "Oja's rule inferred from recorded activity"
    labels: ClassVar[Mapping[str, str]] = {"taylor": "polynomial", "mlp": "network as a rule"}
    published: ClassVar[Mapping[str, Published]] = {
        "thetap110.taylor": Published(1.0, "the rule that made the data (Fig. 2C)"),
        "thetap021.taylor": Published(-1.0, "the rule that made the data (Fig. 2C)"),
    }
    presets = load_presets(__file__, "oja")

    trials: int = 5
    families: tuple[str, ...] = FAMILIES
    noise: float = 0.0
    recorded: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        self.require_some("families", FAMILIES)
        require_recording(self.noise, self.recorded)

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del data, load
        found: dict[str, AbstractStudy] = {}
        for family in self.families:
            found |= self.arm(family, family, self.noise, self.recorded, self.steps)
        return found

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        return tuple(recovered(arm, quantities, self.label(arm)) for arm in self.families)


@dataclass(frozen=True)
class OjaGrid(AbstractOja):
    """The same with more and more noise, fewer and fewer recorded neurons, and shorter trajectories.

    Attributes:
        noises: standard deviations of the noise that is added to the recorded activity.
        fractions: fractions of the neurons that are recorded; each with each of the noises.
        lengths: steps of a trajectory, without noise and recorded in full.
    """

    name = "mehta2024/oja-grid"
    title = "How noise, missing neurons and short recordings spoil the inference of Oja's rule"
    condition_labels: ClassVar[Mapping[str, str]] = {"held_out": "held out"}
    presets = load_presets(__file__, "oja-grid")

    trials: int = 3
    noises: tuple[float, ...] = (0.0, 0.1, 0.3, 0.6)
    fractions: tuple[float, ...] = (1.0, 0.75, 0.5)
    lengths: tuple[int, ...] = (10, 25)

    def __post_init__(self):
        super().__post_init__()
        for noise, fraction in product(self.noises, self.fractions):
            require_recording(noise, fraction)
        for name in ("noises", "fractions"):
            if not getattr(self, name) or len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ConfigError(f"{name} must be different numbers, at least one, not {getattr(self, name)}")
        if min(self.lengths, default=1) < 1 or self.steps in self.lengths:
            raise ConfigError(f"lengths must be positive and other ones than {self.steps}, not {self.lengths}")

    def cells(self) -> dict[str, tuple[float, float, int]]:
        """For every arm the noise, the fraction that is recorded, and the length."""
        grid = {
            f"noise{noise:g}_recorded{fraction:g}".replace(".", "p"): (noise, fraction, self.steps)
            for noise, fraction in product(self.noises, self.fractions)
        }
        return grid | {f"steps{length}": (0.0, 1.0, length) for length in self.lengths}

    def describe(self, study: str) -> StudyDescription:
        found = super().describe(study)
        noise, fraction, length = self.cells()[found.arm]
        return replace(found, arm_label=f"noise {noise:g}, {fraction:.0%} recorded, {length} steps")

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del data, load
        found: dict[str, AbstractStudy] = {}
        for name, cell in self.cells().items():
            found |= self.arm(name, "taylor", *cell)
        return found

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        def mean(noise: float, fraction: float) -> float:
            arm = next(name for name, cell in self.cells().items() if cell == (noise, fraction, self.steps))
            found = quantities.get(f"r2_weights.{arm}.held_out")
            return found.mean if found else float("nan")

        noises, fractions = sorted(self.noises), sorted(self.fractions, reverse=True)
        rows = [[mean(noise, fraction) for fraction in fractions] for noise in noises]
        lines = [*rows, *zip(*rows, strict=True)]
        falls = all(one >= other for line in lines for one, other in pairwise(line))
        told = "falls" if falls else "does not fall"
        return (f"R2 of held-out weights {told} everywhere with noise and missing neurons, on the mean over trials",)


def require_recording(noise: float, fraction: float) -> None:
    """Refuse a noise below zero, or a fraction outside of (0, 1]."""
    if noise < 0 or not 0 < fraction <= 1:
        raise ConfigError(f"noise must not be negative and fractions in (0, 1], not {noise} and {fraction}")


def recovered(arm: str, quantities: Mapping[str, Quantity], label: str) -> str:
    """What was inferred, in a sentence: the largest coefficients, and the fit to further experiments."""
    ends = [(name, q) for name, q in quantities.items() if name.startswith("theta") and name.endswith(f".{arm}")]
    largest = sorted(ends, key=lambda pair: -abs(pair[1].mean))[:3]
    told = ", ".join(f"{name.removesuffix(f'.{arm}')} {q.with_interval()}" for name, q in largest)
    scores: list[Any] = [(what, quantities.get(f"{what}.{arm}.held_out")) for what in ("explained", "r2_weights")]
    fit = ", ".join(f"{what} {q.with_interval()}" for what, q in scores if q)
    return f"{label}: largest coefficients {told}; held out: {fit}" if largest else f"{label}: held out: {fit}"
