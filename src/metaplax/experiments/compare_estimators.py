"""One learner and task, every meta-gradient that applies: how far from exact, at what cost, and how far it gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key, PyTree

from metaplax.analysis import Quantity, bootstrap_interval
from metaplax.data import ImageSet
from metaplax.estimators import (
    T1T2,
    AbstractEstimator,
    Checkpointed,
    ConjugateGradient,
    Contrastive,
    ForwardMode,
    Neumann,
    Reverse,
    Reversible,
    Truncated,
)
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, Conditions, ConfigError, Load
from metaplax.experiments.registry import EXPERIMENTS, lookup
from metaplax.experiments.studies.gradient_error import compared
from metaplax.experiments.studies.meta_training import MetaTraining
from metaplax.learners import AbstractEnergyLearner, AbstractInvertibleLearner, IncompatibleError
from metaplax.plasticity import PrintedTerm
from metaplax.training import choose_layout, resample_key

LABELS = {
    "reversible": "Reversible",
    "checkpointed": "Checkpointed",
    "reverse": "Reverse",
    "forward": "ForwardMode",
    "truncated": "Truncated",
    "contrastive": "Contrastive",
    "symmetric": "Contrastive, symmetric",
    "t1t2": "T1-T2",
    "cg": "ConjugateGradient",
    "neumann": "Neumann",
}


@dataclass(frozen=True)
class EstimatorStudy(AbstractStudy):
    """What one estimator costs, how far it is from the exact meta-gradient, and where it leads.

    Attributes:
        training: meta-training by the estimator.
        probes: episodes per trial, at the start of meta-training, on which it is compared with the exact one.
    """

    training: MetaTraining
    probes: int

    @property
    def steps(self) -> int:
        return self.training.steps

    @property
    def fingerprint(self) -> str:
        return f"{self.training.estimator}: {self.training.fingerprint}"

    def check(self) -> None:
        self.training.check()

    def printed(self) -> tuple[PrintedTerm, ...]:
        return self.training.printed()

    def conduct(self, conditions: Conditions) -> None:
        measured = self._measured(conditions)
        trained = self.training.train(conditions)
        conditions.recorder.finish(self.steps, {**trained.scalars(), **measured})

    def _measured(self, conditions: Conditions) -> dict[str, np.ndarray]:
        """Relative error and cosine, as means over episodes; memory of one episode."""
        layout, keys, training = choose_layout(conditions.trials), conditions.keys(), self.training
        arrays, statics = eqx.partition(training.task, eqx.is_array)

        def gradient(estimator: AbstractEstimator, arrays: PyTree, index: Int[Array, ""], key: Key[Array, ""]) -> Any:
            learner = training.learner.resample(resample_key(key))
            task = eqx.combine(arrays, statics).resample(resample_key(key))
            task_key, learner_key = jax.random.split(jax.random.fold_in(key, index))
            return estimator.value_and_grad(learner, task.sample(task_key), learner_key)[1]

        def one_trial(
            arrays: PyTree, index: Int[Array, ""], state: PyTree, key: Key[Array, ""]
        ) -> tuple[PyTree, dict[str, Any]]:
            found, exact = (gradient(e, arrays, index, key) for e in (training.estimator, Checkpointed()))
            return state, compared(found, exact)

        nothing = jnp.zeros(conditions.trials)
        take = jax.jit(layout.trials(one_trial)).lower(arrays, jnp.int32(0), nothing, keys).compile()
        rows = [take(arrays, jnp.int32(index), nothing, keys)[1] for index in range(self.probes)]
        alone = jax.jit(lambda arrays, key: gradient(training.estimator, arrays, jnp.int32(0), key))
        memory = alone.lower(arrays, keys[0]).compile().memory_analysis()
        megabytes = np.nan if memory is None else memory.temp_size_in_bytes / 1e6
        return {
            **{name: np.mean([row[name] for row in rows], axis=0) for name in rows[0]},
            "temporary_megabytes": np.full(conditions.trials, megabytes),
        }


@dataclass(frozen=True)
class EstimatorComparison(AbstractExperiment):
    """Every estimator that applies to one arm of an experiment, with the same episodes and the same outer optimiser.

    The exact meta-gradient is the derivative of what the inner loop does, whether or not it has settled.

    Attributes:
        experiment: whose learner and task.
        base: preset of that experiment.
        arm: which of its arms; by default the first that is meta-trained.
        meta_steps: meta-steps per estimator; 0 for as many as the experiment has.
        probes: episodes per trial on which estimators are compared with the exact one.
        estimators: which to try; those that do not apply are left out.
        beta: nudging strength.
        terms: steps of conjugate gradients and terms of the Neumann series.
        neumann_rate: of the Neumann series.
        truncated: inner steps that truncated backprop goes through.
    """

    name = "compare-estimators"
    title = "Meta-gradients side by side"
    axis: ClassVar[str] = "meta-step"
    averaged: ClassVar[int] = 5
    headline: ClassVar[tuple[str, ...]] = (
        "loss_at_equal_cost", "error", "cosine", "cpu_seconds_per_episode", "temporary_megabytes",
    )  # fmt: skip
    labels: ClassVar[Mapping[str, str]] = LABELS
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "smoke": {"trials": 2, "meta_steps": 2, "probes": 1, "base": "smoke"},
        "quick": {"base": "smoke", "meta_steps": 20},
        "paper": {"base": "paper", "meta_steps": 0},
    }

    trials: int = 4
    data: str = "glyphs"
    experiment: str = "quickstart"
    base: str = "quick"
    arm: str = ""
    meta_steps: int = 20
    probes: int = 2
    estimators: tuple[str, ...] = tuple(LABELS)
    beta: float = 1.0
    terms: int = 20
    neumann_rate: float = 0.1
    truncated: int = 50

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("probes", "beta", "terms", "neumann_rate", "truncated")
        if self.meta_steps < 0:
            raise ConfigError(f"episodes must not be negative, but is {self.meta_steps}")
        for name in self.estimators:
            if name not in LABELS:
                raise ConfigError(f"there is no estimator {name!r}: there are {', '.join(LABELS)}")

    @property
    def loss_unit(self) -> str:
        return lookup(self.experiment)().loss_unit

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        training = self._training(data, load)
        steps, found = self.meta_steps or training.meta_steps, {}
        for name in self.estimators:
            estimator = self.estimator(name)
            if applies(name, estimator, training):
                found[name] = EstimatorStudy(replace(training, estimator=estimator, meta_steps=steps), self.probes)
        if not found:
            raise ConfigError(f"none of {', '.join(self.estimators)} applies to {self.experiment}")
        return found

    def _training(self, data: ImageSet, load: Load) -> MetaTraining:
        kind = lookup(self.experiment)
        if kind is EstimatorComparison or self.base not in kind.presets:
            raise ConfigError(f"{self.experiment} has no preset {self.base!r}: it has {', '.join(kind.presets)}")
        settings = {**kind.presets[self.base], "data": self.data, "seed": self.seed, "trials": self.trials}
        studies = replace(kind(), **settings).studies(data, load)
        trainings = {arm: study for arm, study in studies.items() if isinstance(study, MetaTraining)}
        if not trainings:
            raise ConfigError(f"{self.experiment} meta-trains nothing")
        arm = self.arm or next(iter(trainings))
        if arm not in trainings:
            raise ConfigError(f"{self.experiment} does not meta-train {arm!r}: it does {', '.join(trainings)}")
        return trainings[arm]

    def estimator(self, name: str) -> AbstractEstimator:
        """An estimator by its short name."""
        return {
            "reversible": Reversible(),
            "checkpointed": Checkpointed(),
            "reverse": Reverse(),
            "forward": ForwardMode(),
            "truncated": Truncated(self.truncated),
            "contrastive": Contrastive(self.beta),
            "symmetric": Contrastive(self.beta, "symmetric"),
            "t1t2": T1T2(throw=False),
            "cg": ConjugateGradient(self.terms, throw=False),
            "neumann": Neumann(self.neumann_rate, self.terms, throw=False),
        }[name]

    def further_quantities(self, rows: Sequence[Mapping[str, Any]]) -> list[Quantity]:
        """The outer loss of every estimator when it has used as much processor time as the cheapest one in total."""
        spent, losses = {}, {}
        for rule in dict.fromkeys(row["rule"] for row in rows):
            steps = [row for row in rows if row["rule"] == rule and not row.get("final")]
            spent[rule] = np.cumsum([row["cpu_seconds"] for row in steps])
            losses[rule] = np.asarray([row["loss"] for row in steps], float)
        budget = min((cost[-1] for cost in spent.values()), default=0.0)
        found = []
        for rule, cost in spent.items():
            reached = max(1, int(np.searchsorted(cost, budget, side="right")))
            loss = np.nanmean(losses[rule][max(0, reached - self.averaged) : reached], axis=0)
            low, high = bootstrap_interval(loss)
            name = f"loss_at_equal_cost.{rule}"
            found.append(Quantity(name, float(loss.mean()), float(low), float(high), len(loss), self.loss_unit))
        return found


def applies(name: str, estimator: AbstractEstimator, training: MetaTraining) -> bool:
    """Whether an estimator can be used on a learner, and is worth it."""
    learner = training.learner
    try:
        estimator.check(learner)
    except IncompatibleError:
        return False
    if name == "reversible":
        return isinstance(learner, AbstractInvertibleLearner)
    if name in ("contrastive", "symmetric"):
        return isinstance(learner, AbstractEnergyLearner)
    return True


EXPERIMENTS[EstimatorComparison.name] = EstimatorComparison
