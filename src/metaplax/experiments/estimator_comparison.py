"""Compares all meta-gradients that apply to one learner and task: their errors, their costs and where they lead."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from metaplax import estimators
from metaplax.analysis import Quantity
from metaplax.data import ImageSet
from metaplax.estimators import AbstractEstimator, Checkpointed, Contrastive, Reversible
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError, Load
from metaplax.experiments.from_file import absolute, is_in_file, load_estimator
from metaplax.experiments.presets import load_presets
from metaplax.experiments.registry import configure, lookup, register
from metaplax.experiments.studies.equal_cost import AVERAGED, equal_cost
from metaplax.experiments.studies.estimator_study import MEASURED, EstimatorStudy, applicable, exploded
from metaplax.experiments.studies.meta_training import MetaTraining
from metaplax.runs import ReportOptions

ESTIMATORS: dict[str, tuple[str, Callable[["EstimatorComparison"], AbstractEstimator]]] = {
    "reversible": ("Reversible", lambda _: Reversible()),
    "checkpointed": ("Checkpointed", lambda _: Checkpointed()),
    "reverse": ("Reverse", lambda _: estimators.Reverse()),
    "forward": ("ForwardMode", lambda _: estimators.ForwardMode()),
    "truncated": ("Truncated", lambda one: estimators.Truncated(one.truncated)),
    "contrastive": ("Contrastive", lambda one: Contrastive(one.beta)),
    "symmetric": ("Contrastive, symmetric", lambda one: Contrastive(one.beta, "symmetric")),
    "t1t2": ("T1-T2", lambda _: estimators.T1T2(throw=False)),
    "cg": ("ConjugateGradient", lambda one: estimators.ConjugateGradient(one.terms, throw=False)),
    "neumann": ("Neumann", lambda one: estimators.Neumann(one.neumann_rate, one.terms, throw=False)),
    "es": ("ES", lambda one: estimators.EvolutionStrategies(pairs=one.pairs, sd=one.sd)),
    "pes": ("Persistent ES", lambda one: estimators.PersistentES(one.window, pairs=one.pairs, sd=one.sd)),
    "forward_gradient": ("ForwardGradient", lambda one: estimators.ForwardGradient(one.pairs)),
}
"""Label of every estimator, and how a comparison makes it."""


@register
@dataclass(frozen=True)
class EstimatorComparison(AbstractExperiment):
    """Every estimator that applies to one arm of an experiment, with the same episodes and the same outer optimiser.

    The exact meta-gradient is the derivative through the inner loop as it is, whether or not it has converged.

    Attributes:
        experiment: name of the experiment whose learner and task are used; FILE.py:CLASS for one of your own.
        base: preset of that experiment.
        arm: one of its arms; by default the first one that is meta-trained.
        meta_steps: meta-steps per estimator; 0 for as many as the experiment has.
        probes: episodes per trial on which estimators are compared with the exact meta-gradient.
        draws: estimates per episode of those that are random, for their bias and variance.
        estimators: estimators to compare, FILE.py:NAME for those of your own; those that do not apply are left out.
        beta: nudging factor beta of the contrastive estimators.
        terms: steps of conjugate gradients, and terms of the Neumann series.
        neumann_rate: step size of the Neumann series.
        truncated: inner steps that truncated backprop goes through.
        pairs: pairs of perturbed episodes of evolution strategies, and directions of forward gradients.
        sd: standard deviation of these perturbations.
        window: inner steps per meta-step of persistent evolution strategies.
    """

    name = "compare-estimators"
    title = "Meta-gradients side by side"
    labels: ClassVar[Mapping[str, str]] = {name: label for name, (label, _) in ESTIMATORS.items()}
    presets = load_presets(__file__, "compare-estimators")

    trials: int = 4
    data: str = "glyphs"
    experiment: str = "quickstart"
    base: str = "quick"
    arm: str = ""
    meta_steps: int = 20
    probes: int = 2
    draws: int = 8
    estimators: tuple[str, ...] = tuple(ESTIMATORS)
    beta: float = 1.0
    terms: int = 20
    neumann_rate: float = 0.1
    truncated: int = 50
    pairs: int = 8
    sd: float = 0.001
    window: int = 10

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "experiment", absolute(self.experiment))
        object.__setattr__(self, "estimators", tuple(absolute(name) for name in self.estimators))
        self.require_positive("probes", "draws", "beta", "terms", "neumann_rate", "truncated")
        self.require_positive("pairs", "sd", "window")
        self.require_not_negative("meta_steps")
        self.require_at_most(10**4, "probes", "draws", "terms", "pairs")
        own = [name for name in self.estimators if is_in_file(name)]
        self.require_some("estimators", (*ESTIMATORS, *own))
        arms = [_arm(name) for name in self.estimators]
        if twice := next((arm for arm in arms if arms.count(arm) > 1), None):
            raise ConfigError(f"two estimators are called {twice}: rename one of them in its file")

    def report_options(self) -> ReportOptions:
        loss_unit = lookup(self.experiment)().report_options().loss_unit
        return ReportOptions(averaged=AVERAGED, axis="meta-step", headline=MEASURED, loss_unit=loss_unit)

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        training = self._training(data, load)
        training = replace(training, meta_steps=self.meta_steps or training.meta_steps)
        found, left_out, _ = applicable(training, self._estimators(), self.probes, self.draws)
        if not found:
            why = "; ".join(left_out.values())
            raise ConfigError(f"none of {', '.join(left_out)} applies to {self.experiment}: {why}")
        return dict(found)

    def _estimators(self) -> dict[str, AbstractEstimator]:
        """The estimators by the names of their arms."""
        made = {
            name: load_estimator(name) if is_in_file(name) else ESTIMATORS[name][1](self) for name in self.estimators
        }
        return {_arm(name): estimator for name, estimator in made.items()}

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        training = next(study.training for study in studies.values() if isinstance(study, EstimatorStudy))
        _, left_out, no_exact = applicable(training, self._estimators(), self.probes, self.draws)
        reasons: dict[str, list[str]] = {}
        for arm, why in left_out.items():
            reasons.setdefault(why, []).append(self.labels.get(arm, arm))
        found = [f"left out: {', '.join(arms)} ({why})" for why, arms in reasons.items()]
        if no_exact:
            found.append(f"there is no exact meta-gradient, so errors, cosines and biases are not known: {no_exact}")
        elif not any(quantity.n for name, quantity in quantities.items() if name.startswith("error.")):
            found.append("the exact meta-gradient was never finite, so errors, cosines and biases are not known")
        found += exploded(quantities.values(), {name: self.labels.get(name, name) for name in studies}, self.trials)
        if "loss_to_reach" in quantities:
            reached = quantities["loss_to_reach"].mean
            found.append(f"processor time is counted until the mean loss of {AVERAGED} meta-steps is {reached:.4g}")
        return tuple(found)

    def _training(self, data: ImageSet, load: Load) -> MetaTraining:
        kind = lookup(self.experiment)
        if kind is EstimatorComparison:
            raise ConfigError(f"{self.experiment} cannot compare the estimators of itself")
        experiment = replace(configure(kind, self.base), data=self.data, seed=self.seed, trials=self.trials)
        studies = experiment.studies(data, load)
        trainings = {
            arm: study for arm, study in studies.items() if isinstance(study, MetaTraining) and study.estimator
        }
        if not trainings:
            raise ConfigError(f"{self.experiment} meta-trains nothing")
        arm = self.arm or next(iter(trainings))
        if arm not in trainings:
            raise ConfigError(f"{self.experiment} does not meta-train {arm!r}: it does {', '.join(trainings)}")
        return trainings[arm]

    def further_quantities(self, rows: Sequence[Mapping[str, Any]]) -> list[Quantity]:
        return equal_cost(rows, AVERAGED, self.report_options().loss_unit)


def _arm(name: str) -> str:
    """What the arm of an estimator is called, which may be in a file."""
    return name.rpartition(":")[2]
