"""Compares meta-gradient estimators on one learner and task from Python, without a run folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optax
from jaxtyping import Array, Key

from metaplax.analysis import Quantity, quantities
from metaplax.estimators import AbstractEstimator
from metaplax.experiments.base import Conditions
from metaplax.experiments.studies.equal_cost import AVERAGED, equal_cost
from metaplax.experiments.studies.estimator_study import MEASURED, applicable, exploded
from metaplax.experiments.studies.meta_training import MetaTraining
from metaplax.learners import AbstractLearner, IncompatibleError
from metaplax.runs import Interruption, MemoryRecorder, NoProgress, ReportOptions, StudyDescription, fingerprint
from metaplax.tasks import AbstractTask
from metaplax.training import MetaTrained


@dataclass(frozen=True, repr=False)
class ComparedEstimators:
    """What ``compare_estimators`` returns; printed, it is a table.

    Attributes:
        quantities: what was measured, with intervals over trials, named ``error.Truncated`` and the like.
        trained: what meta-training with each estimator gave, by name.
        left_out: why the other estimators cannot be used, by name.
        no_exact: why there is no exact meta-gradient, and thus no error, cosine and bias; empty if there is one.
    """

    quantities: tuple[Quantity, ...]
    trained: Mapping[str, MetaTrained]
    left_out: Mapping[str, str]
    no_exact: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dictionary per estimator; ``pandas.DataFrame(result.rows)`` makes a table of them.

        It holds the ``name`` and the means over trials of what was measured.
        """
        means = {quantity.name: quantity.mean for quantity in self.quantities}
        measured = lambda it: {what: means[f"{what}.{it}"] for what in MEASURED if f"{what}.{it}" in means}  # noqa: E731
        return [{"name": name, **measured(name)} for name in self.trained]

    def __repr__(self) -> str:
        rows = self.rows
        titles = list(dict.fromkeys(title for row in rows for title in row))
        cells = [titles, *([_cell(row.get(title)) for title in titles] for row in rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(titles))]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
        notes = [f"{name} is left out: {why}" for name, why in self.left_out.items()]
        notes += [f"there is no exact meta-gradient to compare with: {self.no_exact}"] if self.no_exact else []
        trials = len(next(iter(self.trained.values())).masked)
        notes += exploded(self.quantities, {name: name for name in self.trained}, trials)
        return "\n".join([*table, *notes])


def compare_estimators(
    estimators: Sequence[AbstractEstimator] | Mapping[str, AbstractEstimator],
    learner: AbstractLearner,
    tasks: AbstractTask,
    *,
    optimizer: optax.GradientTransformation,
    meta_steps: int,
    key: Key[Array, ""],
    trials: int = 1,
    meta_batch: int = 1,
    resample: bool = False,
    probes: int = 2,
    draws: int = 8,
) -> ComparedEstimators:
    """Measure the errors and costs of estimators, and meta-train with each of them on the same episodes.

    ``metaplax compare-estimators`` does the same for the learner of an experiment, and keeps it in a run folder.

    Args:
        estimators: a list, or a dictionary with names for them; those that do not apply are left out.
        learner: where meta-training starts.
        tasks: distribution of episodes.
        optimizer: the outer optimiser.
        meta_steps: meta-steps with each estimator.
        key: seed of everything random.
        trials: independent repetitions.
        meta_batch: episodes per meta-step.
        resample: as in ``meta_train``: whether every trial starts with a fresh draw of the learner.
        probes: episodes per trial on which estimators are compared with the exact meta-gradient.
        draws: estimates per episode of those that are random.

    Raises:
        ValueError: two estimators are the same, or a number is below one.
        IncompatibleError: learner and task do not fit together, or no estimator applies.
    """
    given = dict(estimators) if isinstance(estimators, Mapping) else _named(estimators)
    if probes < 1 or draws < 1:
        raise ValueError(f"probes and draws must be at least 1, not {probes} and {draws}")
    first = next(iter(given.values()), None)
    if first is None:
        raise ValueError("there are no estimators to compare")
    training = MetaTraining(learner, tasks, first, optimizer, meta_steps, None, meta_batch, resample)
    studies, left_out, no_exact = applicable(training, given, probes, draws)
    if not studies:
        raise IncompatibleError("none of the estimators applies: " + "; ".join(left_out.values()))
    rows, trained = [], {}
    for name, study in studies.items():
        recorder = MemoryRecorder()
        conditions = Conditions(key, trials, recorder, _no_sibling, NoProgress(), Interruption())
        measured = study.measured(conditions)
        trained[name] = study.training.train(conditions)
        rows += [{"study": name, "step": step, **row} for step, row in enumerate(recorder.rows())]
        rows.append({"study": name, "step": meta_steps, "final": True, **measured})
    options = ReportOptions(averaged=AVERAGED)
    found = quantities(rows, {name: StudyDescription(name, "", name) for name in studies}, options, {})
    return ComparedEstimators((*found, *equal_cost(rows, AVERAGED, options.loss_unit)), trained, left_out, no_exact)


def _named(estimators: Sequence[AbstractEstimator]) -> dict[str, AbstractEstimator]:
    """Estimators by the name of their class; with its arguments, if there are several of a class."""
    kinds = [type(estimator).__name__ for estimator in estimators]
    names = [kind if kinds.count(kind) == 1 else fingerprint(it) for it, kind in zip(estimators, kinds, strict=True)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"there are two estimators {twice}: give them names, in a dictionary")
    return dict(zip(names, estimators, strict=True))


def _no_sibling(name: str) -> Any:
    raise LookupError(name)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "-" if value is None or value != value else f"{value:.3g}"
