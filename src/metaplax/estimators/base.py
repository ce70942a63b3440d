"""The one signature that all meta-gradient estimators have."""

from abc import abstractmethod

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from metaplax.learners import AbstractEnergyLearner, AbstractLearner, IncompatibleError, Loop, join, split
from metaplax.learners.base import Metrics
from metaplax.tasks import Episode


class AbstractEstimator(eqx.Module):
    """Estimates the gradient of the outer loss with respect to the learner's meta-parameters.

    In the costs stated by each estimator, ``T`` is the number of inner steps, ``P`` the size of the
    inner state (the weights) and ``M`` the number of meta-parameters.
    """

    @abstractmethod
    def value_and_grad(
        self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]
    ) -> tuple[tuple[Float[Array, ""], Metrics], AbstractLearner]:
        """Outer loss and metrics of one episode, and the gradient in the learner's own structure.

        The gradient is ``None`` where the learner holds no meta-parameter.
        """

    def check(self, learner: AbstractLearner) -> None:
        """Refuse learners that lack what this estimator needs.

        Raises:
            IncompatibleError: one sentence saying what is missing.
        """
        if meta_parameter_count(learner) == 0:
            raise IncompatibleError("the learner has no meta-parameters: every array in it is frozen")


class AbstractUnrolled(AbstractEstimator):
    """Differentiates in reverse through the steps of the inner loop."""

    def check(self, learner: AbstractLearner) -> None:
        super().check(learner)
        learner.check_unrolled()


def meta_parameter_count(learner: AbstractLearner) -> int:
    """How many numbers of a learner are meta-learned."""
    return sum(leaf.size for leaf in jax.tree.leaves(split(learner)[0]))


def differentiate(
    learner: AbstractLearner, episode: Episode, key: Key[Array, ""], loop: Loop | None = None
) -> tuple[tuple[Float[Array, ""], Metrics], AbstractLearner]:
    """Reverse-mode derivative of a whole episode whose inner loop is run by ``loop``."""
    parameters, constants = split(learner)

    def outer_loss(parameters: AbstractLearner) -> tuple[Float[Array, ""], Metrics]:
        return join(parameters, constants).run(episode, key, loop)

    return jax.value_and_grad(outer_loss, has_aux=True)(parameters)


def require_energy(learner: AbstractLearner, why: str) -> AbstractEnergyLearner:
    """The learner, if it is one that minimises an energy.

    Raises:
        IncompatibleError: it is not; ``why`` says what an energy is needed for.
    """
    if not isinstance(learner, AbstractEnergyLearner):
        raise IncompatibleError(f"{why}, and {type(learner).__name__} minimises no energy: use Reverse or Checkpointed")
    return learner
