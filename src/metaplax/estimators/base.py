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

Sample = Callable[[Key[Array, ""]], Episode]
"""Draws an episode."""


class RESULTS(eqx.Enumeration):
    """What may be wrong with a meta-gradient, each with a sentence that says what to do."""

    successful = ""
    curves_down = (
        "the energy curves downwards where the inner loop has ended, so that it is no minimum: take more inner steps,"
        " or more damping"
    )
    not_converged = (
        "the linear system of the implicit gradient was not solved to the tolerance: allow more steps, more damping or"
        " a larger tolerance"
    )
    diverges = "the Neumann series diverges: its rate must be below two over the largest curvature of the energy"
    singular = (
        "the linear system of the implicit gradient has no finite solution: the energy is flat or not finite there"
    )
    all_exploded = (
        "in every pair of perturbed episodes, the outer loss of one or both is not finite: take a smaller standard"
        " deviation, smaller inner steps or a smaller meta-learning rate"
    )


class MetaGradient(eqx.Module):
    """What an estimator returns for one episode.

    Attributes:
        loss: outer loss.
        metrics: further numbers to record.
        gradient: the meta-gradient in the learner's own structure: ``None`` where nothing is meta-learned.
        result: what went wrong, if anything did; ``RESULTS[result]`` is a sentence.
    """

    loss: Float[Array, ""]
    metrics: Metrics
    gradient: PyTree
    result: RESULTS = eqx.field(default_factory=lambda: RESULTS.successful)


class AbstractEstimator(eqx.Module):
    """Estimates the gradient of the outer loss with respect to the learner's meta-parameters.

    In the costs stated by each estimator, ``T`` is the number of inner steps, ``P`` the size of the
    inner state (the weights) and ``M`` the number of meta-parameters.

    Attributes:
        why_zero: what is said of a learner whose meta-gradient would be zero by construction.
        may_report: names of the ``RESULTS`` that estimators of this kind may report.
    """

    why_zero: ClassVar[str] = "the outer loss does not depend on any meta-parameter"
    may_report: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def value_and_grad(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> MetaGradient:
        """Outer loss and metrics of one episode, its meta-gradient, and what went wrong.

        Raises:
            IncompatibleError: the learner lacks what is needed, or the gradient would be zero by construction.
        """

    def start(self, learner: AbstractLearner, episode: Episode) -> PyTree:
        """What is carried from meta-step to meta-step before the first one: arrays; by default nothing, ``None``.

        Meta-training carries it for every trial and every place in the batch of episodes, and keeps it in checkpoints.

        Args:
            learner: whose meta-gradient is wanted.
            episode: shapes and dtypes only.
        """
        del learner, episode

    def step(
        self, learner: AbstractLearner, sample: Sample, key: Key[Array, ""], carried: PyTree
    ) -> tuple[MetaGradient, PyTree]:
        """The meta-gradient at one meta-step, and what is carried to the next one.

        By default that of a fresh episode, with nothing carried.

        Args:
            learner: the learner with the meta-parameters of this meta-step.
            sample: draws an episode.
            key: randomness of this meta-step: half for the episode and half for the learner, by default.
            carried: what the last meta-step, or ``start``, has left.
        """
        task_key, learner_key = jax.random.split(key)
        return self.value_and_grad(learner, sample(task_key), learner_key), carried

    @property
    def problems(self) -> tuple[str, ...]:
        """Names of the ``RESULTS`` that it may report, which meta-training counts."""
        return self.may_report

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
