"""Studies that measure how far a meta-gradient is from the exact one."""

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
from metaplax.learners import AbstractLearner
from metaplax.runs import Row, Step
from metaplax.tasks import AbstractTask
from metaplax.training import choose_layout, resample_key


@dataclass(frozen=True)
class Problem:
    """A learner on a task.

    Attributes:
        learner: whose meta-gradient is wanted.
        task: what it learns.
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
        reference: estimator that is exact on the former.
        estimator: what is measured.
        field: which of its numbers is varied; none if empty.
        values: of that number, one for each step.
        fitted: indices of the first and the last value between which the slope is fitted.
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
            return f"{self.estimator} on {eqx.tree_pformat(self.problem().learner)}"

    def check(self) -> None:
        with jax.enable_x64(True):
            given = self.problem()
            given.learner.check(jax.eval_shape(given.task.sample, jax.random.key(0)), given.task.classes)
            self.estimator.check(given.learner)

    def conduct(self, conditions: Conditions) -> None:
        with jax.enable_x64(True):
            self._conduct(conditions)

    def _conduct(self, conditions: Conditions) -> None:
        exact, given = self.exact(), self.problem()
        layout, keys = choose_layout(conditions.trials), conditions.keys()

        def one_trial(
            values: Float[Array, " steps"], index: Int[Array, ""], state: PyTree, key: Key[Array, ""]
        ) -> tuple[PyTree, dict[str, Any]]:
            episode = given.task.resample(resample_key(key)).sample(key)
            target = self.reference.value_and_grad(exact.learner.resample(resample_key(key)), episode, key)[1]
            found = self.at(values[index]).value_and_grad(given.learner.resample(resample_key(key)), episode, key)[1]
            return state, compared(found, target)

        def compiled(state: PyTree) -> Step:
            values = jnp.asarray(self.values)
            take = jax.jit(layout.trials(one_trial)).lower(values, jnp.int32(0), state, keys).compile()
            return lambda index, state: take(values, jnp.int32(index), state, keys)

        conditions.run_steps(compiled, jnp.zeros(conditions.trials), self.steps)
        conditions.recorder.finish(self.steps, self._summary(conditions.recorder.rows()))

    def at(self, value: Float[Array, ""]) -> AbstractEstimator:
        """The estimator with one value of the number that is varied."""
        if not self.field:
            return self.estimator
        return eqx.tree_at(lambda tree: getattr(tree, self.field), self.estimator, value)

    def _summary(self, rows: list[Row]) -> Row:
        """For each trial: the least error, where it is, and how fast the error grows before anything else matters."""
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
