"""Forward gradients: derivatives in a few random directions."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Key, PyTree

from metaplax.estimators.base import MetaGradient, parametrised
from metaplax.estimators.perturbed import AbstractRandom
from metaplax.learners import AbstractLearner
from metaplax.tasks import Episode


class ForwardGradient(AbstractRandom):
    """The mean over random directions of the derivative in a direction, times the direction.

    Unbiased. Time ``O(directions T P)``, memory ``O(directions P)`` whatever ``T``. Directions are random signs: the
    variance is ``(|g|^2 - g_i^2) / directions`` for component ``i`` of a gradient ``g``, less than that of normal ones
    and zero for a single meta-parameter. Needs a learner that can be differentiated. Use ``ForwardMode`` where there
    are as few meta-parameters as directions; not for thousands of them where an exact estimator works.

    Args:
        directions: how many.
        draw: see ``AbstractRandom``.

    Raises:
        ValueError: ``directions`` is below one.

    Source: Baydin et al. (2022); Spall (1992) for signs.
    """

    directions: int = 8

    def __check_init__(self):
        if self.directions < 1:
            raise ValueError(f"derivatives can be taken in 1, 2, ... directions, not {self.directions}")

    def noise(self, key: Key[Array, ""], parameters: PyTree) -> PyTree:
        """Random signs in the structure of the parameters, with a leading axis of directions."""
        flat, unravel = ravel_pytree(parameters)
        return jax.vmap(unravel)(jax.random.rademacher(key, (self.directions, flat.size), flat.dtype))

    def value_and_grad(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> MetaGradient:
        parameters, learner_of = parametrised(learner)
        noise = self.noise(self.noise_key(key), parameters)
        outer_loss = lambda parameters: learner_of(parameters).run(episode, key)  # noqa: E731

        def along(direction: PyTree) -> tuple:
            return jax.jvp(outer_loss, (parameters,), (direction,), has_aux=True)

        # The loss itself does not depend on the direction, and is computed once.
        loss, slopes, metrics = jax.vmap(along, out_axes=(None, 0, None))(noise)
        gradient = jax.tree.map(lambda n: jnp.tensordot(slopes.astype(n.dtype), n, 1) / self.directions, noise)
        return MetaGradient(loss, metrics, gradient)
