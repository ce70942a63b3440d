"""Pairs of perturbed meta-parameters, and what their outer losses say about the meta-gradient."""

from collections.abc import Callable
from math import inf
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from metaplax.estimators.base import RESULTS, AbstractEstimator, MetaGradient, parametrised
from metaplax.estimators.dependence import depends
from metaplax.learners import AbstractLearner, IncompatibleError, split
from metaplax.tasks import Episode

NOISE = 2**31
"""Folded into the key of an episode, it gives that of the perturbations."""
SIGNS = np.array([1, -1], np.int32)

Losses = Float[Array, "pairs 2"]


class AbstractRandom(AbstractEstimator):
    """Draws random numbers of its own, besides those of the task and the learner.

    Args:
        draw: other numbers give independent estimates for the same episode and the same key.
    """

    draw: int | Int[Array, ""] = eqx.field(default=0, kw_only=True)

    def noise_key(self, key: Key[Array, ""]) -> Key[Array, ""]:
        """The key of its own random numbers, given that of an episode."""
        return jax.random.fold_in(key, jnp.uint32(NOISE) + jnp.asarray(self.draw, jnp.uint32))


class AbstractPerturbed(AbstractRandom):
    """Runs an episode with perturbed meta-parameters, in pairs: ``+sd * noise`` and ``-sd * noise``.

    Within a pair everything random is the same. A pair with a loss that is not finite is left out. Recorded are means
    over the other pairs: the outer loss is that of perturbed learners, which is smoother than the loss itself.

    Args:
        pairs: how many.
        sd: standard deviation of the perturbations: one number, or a scale of its own for every leaf of the
            meta-parameters, as numbers or arrays in the structure of ``split(learner)[0]`` or a prefix of it.
        ranks: whether losses are replaced by their ranks, from -1/2 to 1/2. That makes no difference between a loss
            that is large and one that is huge, and gives a direction, not a gradient.
        fresh_keys: whether every pair has a randomness of the learner of its own, such as initial weights and actions;
            by default all have that of the episode, as other estimators do.

    Raises:
        ValueError: ``pairs`` is below one, or a standard deviation is not a positive number.
    """

    may_report: ClassVar[tuple[str, ...]] = ("all_exploded",)

    pairs: int = eqx.field(default=8, kw_only=True)
    sd: PyTree = eqx.field(default=1e-3, kw_only=True)
    ranks: bool = eqx.field(default=False, kw_only=True)
    fresh_keys: bool = eqx.field(default=False, kw_only=True)

    def __check_init__(self):
        numbers = [np.asarray(sd) for sd in jax.tree.leaves(self.sd) if not isinstance(sd, Tracer)]
        if self.pairs < 1 or not all(np.all((sd > 0) & (sd < inf)) for sd in numbers):
            raise ValueError("perturbations are at least 1 pair, with standard deviations that are positive numbers")

    def check(self, learner: AbstractLearner, episode: Episode | None = None) -> None:
        try:
            jax.eval_shape(self.scales, split(learner)[0])
        except ValueError as error:
            raise IncompatibleError(
                "the standard deviations of the perturbations are not in the structure of the learner's"
                " meta-parameters: make them of split(learner)[0]"
            ) from error
        super().check(learner, episode)

    def refuse_zero(self, learner: AbstractLearner, episode: Episode) -> None:
        # Nothing need be differentiable here.
        parameters, learner_of = parametrised(learner)
        key = jax.random.key(0)
        if not depends(lambda parameters, episode: learner_of(parameters).run(episode, key)[0], parameters, episode):
            raise IncompatibleError(f"the meta-gradient of {type(self).__name__} would be zero: {self.why_zero}")

    def noise(self, key: Key[Array, ""], parameters: PyTree) -> PyTree:
        """Standard normal numbers in the structure of the parameters, with a leading axis of pairs."""
        flat, unravel = ravel_pytree(parameters)
        return jax.vmap(unravel)(jax.random.normal(key, (self.pairs, flat.size), flat.dtype))

    def scales(self, parameters: PyTree) -> PyTree:
        """The standard deviation of every leaf of the parameters."""

        def one(sd: float | Array, part: PyTree) -> PyTree:
            return jax.tree.map(lambda leaf: jnp.broadcast_to(jnp.asarray(sd, leaf.dtype), leaf.shape), part)

        return jax.tree.map(one, self.sd, parameters)

    def keys(self, key: Key[Array, ""]) -> Key[Array, " pairs"]:
        """The randomness of the learner in every pair."""
        return jax.random.split(key, self.pairs) if self.fresh_keys else jnp.repeat(key[None], self.pairs)

    def in_pairs(self, learner: AbstractLearner, noise: PyTree, run: Callable[..., PyTree], *others: PyTree) -> PyTree:
        """``run(perturbed learner, *rest)`` for either side of every pair, with leading axes ``(pairs, 2)``.

        ``others`` have a leading axis of pairs; the last of them has both axes.
        """
        parameters, learner_of = parametrised(learner)
        scales = self.scales(parameters)

        def pair(inputs: tuple) -> PyTree:
            noise, *given, both = inputs

            def side(inputs: tuple) -> PyTree:
                sign, one = inputs
                moved = jax.tree.map(lambda p, sd, n: p + sign * sd * n, parameters, scales, noise)
                return run(learner_of(moved), *given, one)

            return each(side, (jnp.asarray(SIGNS), both))

        return each(pair, (noise, *others))

    def gradient(self, learner: AbstractLearner, noise: PyTree, losses: Losses, kept: Bool[Array, " pairs"]) -> PyTree:
        """The mean over the pairs that are kept of what their losses say about the gradient; NaN if none is."""
        shaped = _ranks(losses, kept) if self.ranks else losses
        slopes = jnp.where(kept, (shaped[:, 0] - shaped[:, 1]) / 2, 0) / jnp.sum(kept)
        scales = self.scales(parametrised(learner)[0])
        return jax.tree.map(lambda n, sd: jnp.tensordot(slopes.astype(n.dtype), n, 1) / sd, noise, scales)


def finite(losses: Losses) -> Bool[Array, " pairs"]:
    """The pairs of which neither side has exploded."""
    return jnp.all(jnp.isfinite(losses), axis=1)


def summary(losses: Losses, metrics: dict[str, Losses], gradient: PyTree, kept: Bool[Array, " pairs"]) -> MetaGradient:
    """What is returned: means over the pairs that are kept."""
    mean = lambda values: jnp.sum(jnp.where(kept[:, None], values, 0)) / (2 * jnp.sum(kept))  # noqa: E731
    result = RESULTS.where(jnp.any(kept), RESULTS.successful, RESULTS.all_exploded)
    return MetaGradient(mean(losses), jax.tree.map(mean, metrics), gradient, result)


def each(function: Callable[[PyTree], PyTree], inputs: PyTree) -> PyTree:
    """``function`` along a leading axis: on a CPU in turn, as batched matrix-vector products are slower there."""
    if jax.local_devices()[0].platform == "cpu":
        return jax.lax.map(function, inputs)
    return jax.vmap(function)(inputs)


def _ranks(losses: Losses, kept: Bool[Array, " pairs"]) -> Losses:
    """Ranks among the losses that are kept, from -1/2 to 1/2."""
    order = jnp.where(kept[:, None], losses, jnp.inf).ravel()
    ranks = jnp.argsort(jnp.argsort(order)).reshape(losses.shape)
    return ranks.astype(losses.dtype) / (2 * jnp.sum(kept) - 1) - 0.5
