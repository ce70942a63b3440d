"""The contrastive rule: settle twice, and compare what the meta-parameters feel."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.estimators.base import AbstractEstimator, require_energy
from metaplax.learners import (
    AbstractLearner,
    AbstractMinimiser,
    EnergyState,
    join,
    split,
)
from metaplax.learners.base import Metrics
from metaplax.tasks import Episode

SETTLES = "Contrastive settles the inner loop twice"

Variant = Literal["forward", "symmetric", "second_order"]


@dataclass(frozen=True)
class Contrast:
    """A finite difference in the nudging strength.

    Attributes:
        free: weight of the free phase, in units of ``1 / beta``.
        nudged: for each nudged phase, its strength in units of beta, its weight, and whether it starts where the
            phase before it has settled (and not at the end of the free phase).
    """

    free: float
    nudged: tuple[tuple[float, float, bool], ...]


CONTRASTS: dict[Variant, Contrast] = {
    "forward": Contrast(-1.0, ((1.0, 1.0, False),)),
    "symmetric": Contrast(0.0, ((1.0, 0.5, False), (-1.0, -0.5, False))),
    "second_order": Contrast(-1.5, ((1.0, 2.0, False), (2.0, -0.5, True))),
}


class Contrastive(AbstractEstimator):
    """Difference of ``d(E + beta C)/d theta`` between nudged and free equilibria, divided by ``beta``.

    Approximate: the error is of first order in ``beta`` (second order for the other two variants), plus how far the
    phases are from having settled, divided by ``beta``. Time ``O((T + nudged steps) P)``, memory ``O(P)``: no second
    derivative, and nothing is kept of the inner loop. Needs an
    :class:`~metaplax.learners.AbstractEnergyLearner`; where its meta-parameters occur in the charge only, the
    difference is taken in closed form, without the data.

    Args:
        beta: nudging strength.
        variant: ``"forward"``, ``"symmetric"`` (nudged to either side; for a large ``beta`` there may be nothing to
            settle to on the negative side) or ``"second_order"`` (nudged by ``beta`` and ``2 beta``).
        nudged: how nudged phases are settled; by default as the free phase is.
        as_released: drop the nudging where it is negative, as a part of the published code does.

    Raises:
        ValueError: ``beta`` is not a positive number, or the variant is unknown.

    Source: Zucchet et al. (2022), Eqs. 4 to 6; Scellier & Bengio (2017).
    """

    beta: float
    variant: Variant = "forward"
    nudged: AbstractMinimiser | None = None
    as_released: bool = False

    def __check_init__(self):
        if not 0 < self.beta < float("inf"):
            raise ValueError(f"the nudging strength must be a positive number, not {self.beta}")
        if self.variant not in CONTRASTS:
            raise ValueError(f"there is no variant {self.variant!r}: there are {', '.join(CONTRASTS)}")

    def check(self, learner: AbstractLearner) -> None:
        super().check(learner)
        require_energy(learner, SETTLES).check_charged()

    def value_and_grad(
        self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]
    ) -> tuple[tuple[Float[Array, ""], Metrics], AbstractLearner]:
        parameters, constants = split(learner)
        energetic = require_energy(join(parameters, constants), SETTLES)
        init_key, free_key = jax.random.split(key)
        free = energetic.adapt(energetic.init(init_key), episode.support, free_key)
        loss, metrics = energetic.evaluate(free, episode.query)

        def felt(state: EnergyState, beta: Float[Array, ""] | float) -> PyTree:
            return partial_derivative(parameters, constants, state, episode, beta)

        contrast = CONTRASTS[self.variant]
        parts = [(contrast.free, felt(free, 0.0))] if contrast.free else []
        state = free
        for phase, (strength, weight, onwards) in enumerate(contrast.nudged, start=1):
            beta = 0.0 if self.as_released and strength < 0 else strength * self.beta
            state = energetic.minimise(
                state if onwards else free,
                episode.support,
                jax.random.fold_in(free_key, phase),
                query=episode.query,
                beta=beta,
                minimiser=self.nudged,
            )
            parts.append((weight, felt(state, beta)))
        gradient = jax.tree.map(
            lambda *leaves: combine([weight for weight, _ in parts], leaves) / self.beta, *(g for _, g in parts)
        )
        return (loss, metrics), gradient


def combine(weights: list[Any], leaves: tuple[Array, ...]) -> Array:
    """A weighted sum."""
    return sum((weight * leaf for weight, leaf in zip(weights, leaves, strict=True)), start=jnp.zeros_like(leaves[0]))


def partial_derivative(
    parameters: PyTree, constants: PyTree, state: EnergyState, episode: Episode, beta: Float[Array, ""] | float
) -> PyTree:
    """``d(E + beta C)/d theta`` where a state has settled, the fast parameters held as they are."""

    def energy(parameters: PyTree) -> Float[Array, ""]:
        learner = require_energy(join(parameters, constants), SETTLES)
        if not learner.slow_in_network:
            return learner.regulariser(state.fast)
        support, query = episode.support, episode.query
        return learner.nudged_energy(state.fast, state.buffers, support, query, beta, training=False)[0]

    return jax.grad(energy)(parameters)
