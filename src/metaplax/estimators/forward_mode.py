"""Forward mode: carry the derivative of the inner state along with it."""

import jax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Key

from metaplax.estimators.base import AbstractEstimator, Estimate, meta_parameter_count
from metaplax.learners import AbstractLearner, IncompatibleError, join, split
from metaplax.tasks import Episode

LIMIT = 1000


class ForwardMode(AbstractEstimator):
    """Exact gradient by forward-mode differentiation, one tangent per meta-parameter.

    Time ``O(M T P)``, memory ``O(M P)`` whatever the number of steps: real-time recurrent learning of
    the meta-parameters. Needs a learner that can be differentiated and has few meta-parameters (at most
    1,000). Source: Williams & Zipser (1989); Franceschi et al. (2017).
    """

    def check(self, learner: AbstractLearner, episode: Episode | None = None) -> None:
        super().check(learner, episode)
        count = meta_parameter_count(learner)
        if count > LIMIT:
            raise IncompatibleError(
                f"ForwardMode runs the episode once per meta-parameter and this learner has {count:,} of them"
                f" (the limit is {LIMIT:,}): use Reverse or Checkpointed"
            )

    def value_and_grad(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> Estimate:
        parameters, constants = split(learner)
        flat, unravel = ravel_pytree(parameters)

        def outer_loss(flat):
            loss, metrics = join(unravel(flat), constants).run(episode, key)
            return loss, (loss, metrics)

        gradient, (loss, metrics) = jax.jacfwd(outer_loss, has_aux=True)(flat)
        return (loss, metrics), unravel(gradient)
