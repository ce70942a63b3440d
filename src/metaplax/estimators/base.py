"""The one signature that all meta-gradient estimators have."""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key, PyTree

from metaplax.estimators.dependence import has_derivative
from metaplax.learners import AbstractEnergyLearner, AbstractLearner, IncompatibleError, Loop, join, split
from metaplax.learners.base import Metrics
from metaplax.tasks import Episode

Estimate = tuple[tuple[Float[Array, ""], Metrics], AbstractLearner]
"""Outer loss and metrics, and the meta-gradient in the learner's structure: ``None`` where nothing is meta-learned."""


class AbstractEstimator(eqx.Module):
    """Estimates the gradient of the outer loss with respect to the learner's meta-parameters.

    In the costs stated by each estimator, ``T`` is the number of inner steps, ``P`` the size of the
    inner state (the weights) and ``M`` the number of meta-parameters.

    Attributes:
        why_zero: what is said of a learner whose meta-gradient would be zero by construction.
    """

    why_zero: ClassVar[str] = "the outer loss does not depend on any meta-parameter"

    @abstractmethod
    def value_and_grad(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> Estimate:
        """Outer loss and metrics of one episode, and the gradient in the learner's own structure.

        Raises:
            IncompatibleError: the learner lacks what is needed, or the gradient would be zero by construction.
        """

    def differentiated(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> PyTree:
        """The function of the meta-parameters that this estimator differentiates: by default the outer loss."""
        return learner.run(episode, key)[0]

    def check(self, learner: AbstractLearner, episode: Episode | None = None) -> None:
        """Refuse learners that lack what this estimator needs, before anything is compiled.

        Args:
            learner: whose meta-gradient is wanted.
            episode: shapes and dtypes of an episode, if they are known. With them it is also refused what would give
                a meta-gradient of zero by construction.

        Raises:
            IncompatibleError: one sentence saying what is missing.
        """
        if meta_parameter_count(learner) == 0:
            raise IncompatibleError("the learner has no meta-parameters: every array in it is frozen")
        if episode is not None:
            self.refuse_zero(learner, episode)

    def refuse_zero(self, learner: AbstractLearner, episode: Episode) -> None:
        """Refuse a learner whose meta-gradient would be zero by construction.

        Raises:
            IncompatibleError: it would.
        """
        parameters, constants = split(learner)
        key = jax.random.key(0)
        seen = lambda parameters, episode: self.differentiated(join(parameters, constants), episode, key)  # noqa: E731
        if not has_derivative(seen, parameters, episode):
            raise IncompatibleError(f"the meta-gradient of {type(self).__name__} would be zero: {self.why_zero}")


class AbstractUnrolled(AbstractEstimator):
    """Differentiates in reverse through the steps of the inner loop."""

    def check(self, learner: AbstractLearner, episode: Episode | None = None) -> None:
        learner.check_unrolled()
        super().check(learner, episode)


class AbstractOnEnergies(AbstractEstimator):
    """Needs an inner loop that minimises an energy.

    Attributes:
        needs: what the energy is needed for, as the beginning of a sentence.
    """

    needs: ClassVar[str]

    def check(self, learner: AbstractLearner, episode: Episode | None = None) -> None:
        self.energetic(learner)
        super().check(learner, episode)

    def energetic(self, learner: AbstractLearner) -> AbstractEnergyLearner:
        """The learner, if it is one that minimises an energy.

        Raises:
            IncompatibleError: it is not.
        """
        if not isinstance(learner, AbstractEnergyLearner):
            name = type(learner).__name__
            raise IncompatibleError(f"{self.needs}, and {name} minimises no energy: use Reverse or Checkpointed")
        return learner


def meta_parameter_count(learner: AbstractLearner) -> int:
    """How many numbers of a learner are meta-learned."""
    return sum(leaf.size for leaf in jax.tree.leaves(split(learner)[0]))


def differentiate(
    learner: AbstractLearner, episode: Episode, key: Key[Array, ""], loop: Loop | None = None
) -> Estimate:
    """Reverse-mode derivative of a whole episode whose inner loop is run by ``loop``."""
    parameters, constants = split(learner)

    def outer_loss(parameters: AbstractLearner) -> tuple[Float[Array, ""], Metrics]:
        return join(parameters, constants).run(episode, key, loop)

    return jax.value_and_grad(outer_loss, has_aux=True)(parameters)
