"""Measures the error of a meta-gradient relative to the exact one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.estimators import AbstractEstimator
from metaplax.experiments.base import AbstractStudy, Conditions
from metaplax.experiments.studies.trials import conduct_trials
from metaplax.learners import AbstractLearner
from metaplax.runs import Row, fingerprint
from metaplax.tasks import AbstractTask
from metaplax.training import resample_key


@dataclass(frozen=True)
class Problem:
    """A learner on a task.

    Attributes:
        learner: the learner.
        task: distribution of episodes.
    """

    learner: AbstractLearner
    task: AbstractTask


@dataclass(frozen=True)
class GradientError(AbstractStudy):
    """The relative error of an estimator, and its cosine, for several values of one of its numbers.

    Everything is computed in double precision.

    Attributes:
        exact: makes the problem on which the reference is computed.
        problem: makes the problem on which the estimator is used, such as one whose inner loop is inexact.
        reference: estimator that is exact on the former problem.
        estimator: estimator that is measured.
        field: name of the field of the estimator that is varied; empty for none.
        values: values of that field, one per step.
        fitted: indices of the first and the last value between which the slope of the error is fitted.
    """

    exact: Callable[[], Problem]
    problem: Callable[[], Problem]
    reference: AbstractEstimator
    estimator: AbstractEstimator
    field: str
    values: tuple[float, ...]
    fitted: tuple[int, int]

    @property
    def steps(self) -> int:
        return len(self.values)

    @property
    def fingerprint(self) -> str:
        with jax.enable_x64(True):
            return fingerprint((self.estimator, self.problem().learner))

    def check(self) -> None:
        with jax.enable_x64(True):
            given = self.problem()
            given.learner.check(jax.eval_shape(given.task.sample, jax.random.key(0)), given.task.classes)
            self.estimator.check(given.learner)

    def conduct(self, conditions: Conditions) -> None:
        with jax.enable_x64(True):
            self._conduct(conditions)

    def _conduct(self, conditions: Conditions) -> None:
        exact, given, values = self.exact(), self.problem(), jnp.asarray(self.values)

        def one_trial(
            task: AbstractTask, index: Int[Array, ""], state: PyTree, key: Key[Array, ""]
        ) -> tuple[PyTree, dict[str, Any]]:
            episode = task.sample(key)
            target = self.reference.value_and_grad(exact.learner.resample(resample_key(key)), episode, key)[1]
            found = self.at(values[index]).value_and_grad(given.learner.resample(resample_key(key)), episode, key)[1]
            return state, compared(found, target)

        conduct_trials(conditions, one_trial, given.task, jnp.zeros(conditions.trials), self.steps)
        conditions.recorder.finish(self.steps, self._summary(conditions.recorder.rows()))

    def at(self, value: Float[Array, ""]) -> AbstractEstimator:
        """The estimator with one value of the field that is varied."""
        if not self.field:
            return self.estimator
        return eqx.tree_at(lambda tree: getattr(tree, self.field), self.estimator, value)

    def _summary(self, rows: list[Row]) -> Row:
        """For each trial: the least error, at which value it is, and the slope of the error in logarithmic axes."""
        errors = np.asarray([row["error"] for row in rows], float)
        least = {"least_error": np.min(errors, axis=0)}
        if not self.field:
            return least
        part = slice(self.fitted[0], self.fitted[1] + 1)
        slope = np.polyfit(np.log(self.values[part]), np.log(errors[part]), 1)[0]
        return {**least, f"best_{self.field}": np.asarray(self.values)[np.argmin(errors, axis=0)], "slope": slope}


def compared(found: PyTree, target: PyTree) -> dict[str, Float[Array, ""]]:
    """Relative error in the Euclidean norm, and cosine."""
    one, other = (jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (found, target))
    norms = jnp.linalg.norm(one) * jnp.linalg.norm(other)
    return {"error": jnp.linalg.norm(one - other) / jnp.linalg.norm(other), "cosine": one @ other / norms}
