"""The one signature that all meta-gradient estimators have."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key, PyTree

from metaplax.estimators.dependence import has_derivative
from metaplax.learners import AbstractEnergyLearner, AbstractLearner, IncompatibleError, join, split
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
        """Raise ``IncompatibleError`` for a learner whose meta-gradient would be zero by construction."""
        parameters, learner_of = parametrised(learner)
        key = jax.random.key(0)
        seen = lambda parameters, episode: self.differentiated(learner_of(parameters), episode, key)  # noqa: E731
        if not has_derivative(seen, parameters, episode):
            raise IncompatibleError(f"the meta-gradient of {type(self).__name__} would be zero: {self.why_zero}")


class AbstractOnEnergies(AbstractEstimator):
    """Needs an inner loop that minimises an energy; ``needs`` begins the sentence that says what for."""

    needs: ClassVar[str]

    def check(self, learner: AbstractLearner, episode: Episode | None = None) -> None:
        self.energetic(learner)
        super().check(learner, episode)

    def energetic(self, learner: AbstractLearner) -> AbstractEnergyLearner:
        """The learner, if it is one that minimises an energy; else raises ``IncompatibleError``."""
        if not isinstance(learner, AbstractEnergyLearner):
            name = type(learner).__name__
            raise IncompatibleError(f"{self.needs}, and {name} minimises no energy: use Reverse or Checkpointed")
        return learner


def meta_parameter_count(learner: AbstractLearner) -> int:
    """How many numbers of a learner are meta-learned."""
    return sum(leaf.size for leaf in jax.tree.leaves(split(learner)[0]))


def parametrised(learner: AbstractLearner) -> tuple[PyTree, Callable[[PyTree], Any]]:
    """The meta-parameters of a learner, and the learner as a function of them."""
    parameters, constants = split(learner)
    return parameters, lambda parameters: join(parameters, constants)
