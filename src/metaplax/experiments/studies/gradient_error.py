"""Measures the error of a meta-gradient relative to the exact one."""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from metaplax.estimators import AbstractEstimator, Contrastive, ImplicitDirect
from metaplax.experiments.base import AbstractStudy, Conditions
from metaplax.experiments.studies.contrastive_bound import contrastive_bound
from metaplax.experiments.studies.trials import conduct_trials
from metaplax.learners import AbstractEnergyLearner, AbstractMinimiser, Descent
from metaplax.runs import Row, fingerprint
from metaplax.tasks import AbstractTask
from metaplax.training import resample_key

Problem = tuple[AbstractEnergyLearner, AbstractTask]


@dataclass(frozen=True)
class GradientError(AbstractStudy):
    """The relative error of an estimator, and its cosine to the exact meta-gradient, for several values of beta.

    Everything is computed in double precision. Beside the error of the forward contrast stands its bound.

    Attributes:
        problem: makes a learner whose inner loop is solved exactly, and its task.
        minimiser: minimiser that the learner has when the estimator is used, such as an inexact one.
        estimator: estimator that is measured; the learning rate of a nudged descent of its own is divided by one plus
            beta, by which the nudged energy may be steeper.
        betas: ascending nudging factors, one per step; an estimator that has none is measured once.
    """

    problem: Callable[[], Problem]
    minimiser: AbstractMinimiser
    estimator: AbstractEstimator
    betas: tuple[float, ...]

    @property
    def steps(self) -> int:
        return len(self.betas) if self.is_nudged else 1

    @property
    def is_nudged(self) -> bool:
        """Whether the estimator has a nudging factor."""
        return isinstance(self.estimator, Contrastive)

    @property
    def fingerprint(self) -> str:
        with jax.enable_x64(True):
            return fingerprint((self.estimator, self._with_minimiser(self.problem()[0])))

    def check(self) -> None:
        with jax.enable_x64(True):
            exact, task = self.problem()
            learner = self._with_minimiser(exact)
            learner.check(jax.eval_shape(task.sample, jax.random.key(0)), task.classes)
            self.estimator.check(learner)

    def _with_minimiser(self, learner: AbstractEnergyLearner) -> AbstractEnergyLearner:
        return eqx.tree_at(lambda tree: tree.minimiser, learner, self.minimiser)

    def _nudged_by(self, beta: Float[Array, ""]) -> AbstractEstimator:
        """The estimator with this nudging factor, if it has one."""
        if not isinstance(self.estimator, Contrastive):
            return self.estimator
        found = eqx.tree_at(lambda tree: tree.beta, self.estimator, beta)
        if not isinstance(found.nudged, Descent):
            return found
        return eqx.tree_at(lambda tree: tree.nudged.rate, found, found.nudged.rate / (1 + beta))

    def conduct(self, conditions: Conditions) -> None:
        def one_trial(task, index, state, key):
            episode, estimator = task.sample(key), self._nudged_by(jnp.asarray(self.betas)[index])
            learner, solved = (one.resample(resample_key(key)) for one in (self._with_minimiser(exact), exact))
            found = estimator.value_and_grad(learner, episode, key).gradient
            target = ImplicitDirect(throw=False).value_and_grad(solved, episode, key).gradient
            row = compared(found, target)
            if isinstance(estimator, Contrastive) and estimator.variant == "forward":
                bound = contrastive_bound(learner, solved, estimator, episode, key)  # pyright: ignore[reportArgumentType]
                row["bound"] = bound / jnp.linalg.norm(ravel_pytree(target)[0])
            return state, row

        with jax.enable_x64(True):
            exact, task = self.problem()
            conduct_trials(conditions, one_trial, task, jnp.zeros(conditions.trials), self.steps)
        conditions.recorder.finish(self.steps, self._summary(conditions.recorder.rows()))

    def _summary(self, rows: list[Row]) -> Row:
        """For each trial: the least error, at which beta it is, and the slope of the error in logarithmic axes.

        The end slope is that between the two largest betas: near zero where the error saturates. The least margin is
        the smallest ratio of the bound to the error: at least one where the bound holds.
        """
        errors = np.asarray([row["error"] for row in rows], float)
        least = {"least_error": np.min(errors, axis=0)}
        if not self.is_nudged:
            return least
        # Slopes are fitted from the smallest beta to about a hundred times that.
        near = max(2, sum(beta <= 101 * self.betas[0] for beta in self.betas))
        slope = np.polyfit(np.log(self.betas[:near]), np.log(errors[:near]), 1)[0]
        least["end_slope"] = np.log(errors[-1] / errors[-2]) / np.log(self.betas[-1] / self.betas[-2])
        if "bound" in rows[0]:
            bounds = np.asarray([row["bound"] for row in rows], float)
            least["least_margin"] = np.min(bounds / errors, axis=0)
        return {**least, "best_beta": np.asarray(self.betas)[np.argmin(errors, axis=0)], "slope": slope}


def compared(found: PyTree, target: PyTree) -> dict[str, Float[Array, ""]]:
    """Relative error in the Euclidean norm, and cosine."""
    one, other = (jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (found, target))
    norms = jnp.linalg.norm(one) * jnp.linalg.norm(other)
    return {"error": jnp.linalg.norm(one - other) / jnp.linalg.norm(other), "cosine": one @ other / norms}
