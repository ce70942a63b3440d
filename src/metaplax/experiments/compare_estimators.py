"""Compares all meta-gradients that apply to one learner and task: their errors, their costs and where they lead."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key, PyTree

from metaplax import estimators
from metaplax.analysis import Quantity, by_study, cost_per_step, nan_mean, over_trials
from metaplax.data import ImageSet
from metaplax.estimators import AbstractEstimator, Checkpointed, Contrastive, Reversible
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, Conditions, ConfigError, Load
from metaplax.experiments.from_file import absolute
from metaplax.experiments.presets import load_presets
from metaplax.experiments.registry import configure, lookup, register
from metaplax.experiments.studies.gradient_error import compared
from metaplax.experiments.studies.meta_training import MetaTraining
from metaplax.experiments.studies.trials import compiled, with_arrays
from metaplax.learners import AbstractInvertibleLearner, IncompatibleError
from metaplax.plasticity import PrintedTerm
from metaplax.runs import ReportOptions, fingerprint
from metaplax.tasks import AbstractTask
from metaplax.training import resample_key

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
}
"""Label of every estimator, and how a comparison makes it."""


@dataclass(frozen=True)
class EstimatorStudy(AbstractStudy):
    """The error of one estimator, its costs, and the meta-training that it leads to.

    Attributes:
        training: meta-training by the estimator.
        probes: episodes per trial, at the start of meta-training, on which it is compared with the exact meta-gradient.
    """

    training: MetaTraining
    probes: int

    @property
    def steps(self) -> int:
        return self.training.steps

    @property
    def fingerprint(self) -> str:
        return f"{fingerprint(self.training.estimator)}: {self.training.fingerprint}"

    @property
    def schedule(self) -> str:
        return self.training.schedule

    def check(self) -> None:
        self.training.check()

    def memory(self, trials: int) -> int:
        return self.training.memory(trials)

    def operations(self, trials: int) -> int:
        return self.training.operations(trials)

    def printed(self) -> tuple[PrintedTerm, ...]:
        return self.training.printed()

    def conduct(self, conditions: Conditions) -> None:
        # Kept together with the parameters: a run that is killed between the two would never measure again.
        conditions.recorder.also(self._measured(conditions))
        self.training.train(conditions)

    def _measured(self, conditions: Conditions) -> dict[str, np.ndarray]:
        """Relative error and cosine, averaged over episodes, and the temporary memory of one episode."""
        training, keys, nothing = self.training, conditions.keys(), jnp.zeros(conditions.trials)

        def gradient(
            estimator: AbstractEstimator, task: AbstractTask, index: Int[Array, ""], key: Key[Array, ""]
        ) -> Any:
            learner = training.learner.resample(resample_key(key))
            task_key, learner_key = jax.random.split(jax.random.fold_in(key, index))
            return estimator.value_and_grad(learner, task.sample(task_key), learner_key).gradient

        def one_trial(
            task: AbstractTask, index: Int[Array, ""], state: PyTree, key: Key[Array, ""]
        ) -> tuple[PyTree, dict[str, Any]]:
            found, exact = (gradient(e, task, index, key) for e in (training.estimator, Checkpointed()))
            return state, compared(found, exact)

        def alone(task: AbstractTask, index: Int[Array, ""], state: PyTree, key: Key[Array, ""]) -> PyTree:
            del index, state
            return gradient(training.estimator, task, jnp.int32(0), key)

        state = conditions.layout.pad(nothing)
        step = compiled(one_trial, training.task, keys, state)
        rows = [step(index, state)[1] for index in range(self.probes)]
        arrays, program = with_arrays(alone, training.task)
        memory = jax.jit(program).lower(arrays, jnp.int32(0), nothing[0], keys[0]).compile().memory_analysis()
        megabytes = np.nan if memory is None else memory.temp_size_in_bytes / 1e6
        return {
            **{name: np.mean([row[name] for row in rows], axis=0) for name in rows[0]},
            "temporary_megabytes": np.full(conditions.trials, megabytes),
        }


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
        estimators: estimators to compare; those that do not apply are left out.
        beta: nudging factor beta of the contrastive estimators.
        terms: steps of conjugate gradients, and terms of the Neumann series.
        neumann_rate: step size of the Neumann series.
        truncated: inner steps that truncated backprop goes through.
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
    estimators: tuple[str, ...] = tuple(ESTIMATORS)
    beta: float = 1.0
    terms: int = 20
    neumann_rate: float = 0.1
    truncated: int = 50

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "experiment", absolute(self.experiment))
        self.require_positive("probes", "beta", "terms", "neumann_rate", "truncated")
        self.require_not_negative("meta_steps")
        self.require_at_most(10**4, "probes", "terms")
        self.require_some("estimators", ESTIMATORS)

    def report_options(self) -> ReportOptions:
        headline = ("loss_at_equal_cost", "error", "cosine", "cpu_seconds_per_episode", "temporary_megabytes")
        loss_unit = lookup(self.experiment)().report_options().loss_unit
        return ReportOptions(averaged=5, axis="meta-step", headline=headline, loss_unit=loss_unit)

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        training = self._training(data, load)
        steps, found = self.meta_steps or training.meta_steps, {}
        for name in self.estimators:
            estimator = ESTIMATORS[name][1](self)
            # It can be used on others, too, but is worth it only on these.
            if isinstance(estimator, Reversible) and not isinstance(training.learner, AbstractInvertibleLearner):
                continue
            with suppress(IncompatibleError):
                estimator.check(training.learner)
                found[name] = EstimatorStudy(replace(training, estimator=estimator, meta_steps=steps), self.probes)
        if not found:
            raise ConfigError(f"none of {', '.join(self.estimators)} applies to {self.experiment}")
        return found

    def _training(self, data: ImageSet, load: Load) -> MetaTraining:
        kind = lookup(self.experiment)
        if kind is EstimatorComparison:
            raise ConfigError(f"{self.experiment} cannot compare the estimators of itself")
        experiment = replace(configure(kind, self.base), data=self.data, seed=self.seed, trials=self.trials)
        studies = experiment.studies(data, load)
        trainings = {arm: study for arm, study in studies.items() if isinstance(study, MetaTraining)}
        if not trainings:
            raise ConfigError(f"{self.experiment} meta-trains nothing")
        arm = self.arm or next(iter(trainings))
        if arm not in trainings:
            raise ConfigError(f"{self.experiment} does not meta-train {arm!r}: it does {', '.join(trainings)}")
        return trainings[arm]

    def further_quantities(self, rows: Sequence[Mapping[str, Any]]) -> list[Quantity]:
        """The outer loss of every estimator when it has used as much processor time as the cheapest one in total.

        Steps count with the median of their times, so that it does not matter where a run was stopped and resumed.
        """
        options = self.report_options()
        steps = {study: [row for row in found if not row.get("final")] for study, found in by_study(rows).items()}
        costs = {study: cost_per_step(found) for study, found in steps.items()}
        budget = min((cost * (steps[study][-1]["step"] + 1) for study, cost in costs.items()), default=0.0)
        found = []
        for study, cost in costs.items():
            affordable = [row["loss"] for row in steps[study] if not cost or row["step"] < round(budget / cost)]
            last = (affordable or [steps[study][0]["loss"]])[-options.averaged :]
            loss = nan_mean(np.asarray(last, float), axis=0)
            found.append(over_trials(f"loss_at_equal_cost.{study}", loss, options.loss_unit))
        return found
