"""The contrastive rule: minimise twice, and compare how the energy depends on the meta-parameters."""

from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.estimators.base import AbstractOnEnergies, MetaGradient, parametrised
from metaplax.learners import AbstractEnergyLearner, AbstractLearner, AbstractMinimiser, EnergyState
from metaplax.learners.energy.base import sum_over
from metaplax.tasks import Episode

Variant = Literal["forward", "symmetric", "second_order"]


CONTRASTS: dict[Variant, tuple[float, tuple[tuple[float, float], ...]]] = {
    "forward": (-1.0, ((1.0, 1.0),)),
    "symmetric": (0.0, ((1.0, 0.5), (-1.0, -0.5))),
    "second_order": (-1.5, ((1.0, 2.0), (2.0, -0.5))),
}
"""Finite differences in the nudging factor: weight of the free phase; factor, in betas, and weight of nudged phases."""


class Contrastive(AbstractOnEnergies):
    """Difference of ``d(E + beta outer_loss)/d theta`` between nudged and free equilibria, divided by ``beta``.

    Approximate: the error is of first order in ``beta`` (second order for the other two variants), plus how far the
    phases are from their minima, divided by ``beta``. Time ``O((T + nudged steps) P)``, memory ``O(P)``: no second
    derivative, and nothing is stored of the inner loop. Needs an
    ``AbstractEnergyLearner``; where its meta-parameters occur in the regulariser only, the
    difference is taken in closed form, without the data.

    Where a local rule is descended along, nothing is asked of the loss but what the rule makes of it. Meta-parameters
    of the rule do not occur in the energy: the difference of the fast parameters is multiplied by the derivative of the
    direction, once, where the free phase has ended. That is the meta-gradient as far as the Jacobian of the direction
    is symmetric and the rule nudges along the gradient of the outer loss (Scellier et al., 2018).

    Args:
        beta: nudging factor.
        variant: ``"forward"``, ``"symmetric"`` (nudged to either side; for a large ``beta`` there may be no
            minimum on the negative side) or ``"second_order"`` (nudged by ``beta`` and ``2 beta``).
        nudged: minimiser of the nudged phases; by default that of the free phase.
        as_released: drop the nudging where it is negative, as a part of the published code does.

    Raises:
        ValueError: ``beta`` is not a positive number, or the variant is unknown.

    Source: Zucchet et al. (2022), Eqs. 4 to 6; Scellier & Bengio (2017); Scellier et al. (2018) for local rules.
    """

    needs: ClassVar[str] = "Contrastive minimises an energy twice"
    why_zero: ClassVar[str] = "the energy does not depend on any meta-parameter; give a pull, or use Checkpointed"

    beta: float
    variant: Variant = "forward"
    nudged: AbstractMinimiser | None = None
    as_released: bool = False

    def __check_init__(self):
        if not 0 < self.beta < float("inf"):
            raise ValueError(f"the nudging factor must be a positive number, not {self.beta}")
        if self.variant not in CONTRASTS:
            raise ValueError(f"there is no variant {self.variant!r}: there are {', '.join(CONTRASTS)}")

    def value_and_grad(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> MetaGradient:
        self.refuse_zero(learner, episode)
        parameters, learner_of = parametrised(learner)
        energetic = self.energetic(learner_of(parameters))
        init_key, free_key = jax.random.split(key)
        free = energetic.adapt(energetic.init(init_key), episode.support, free_key)
        loss, metrics = energetic.evaluate(free, episode.query)

        def weighted(weight: float, state: EnergyState, beta: Float[Array, ""] | float) -> PyTree:
            energy = lambda parameters: energy_at(learner_of(parameters), state, episode, beta)  # noqa: E731
            return _scaled(weight, jax.grad(energy)(parameters))

        free_weight, phases = CONTRASTS[self.variant]
        parts = [weighted(free_weight, free, 0.0)] if free_weight else []
        state, reached = free, [_scaled(free_weight, free.fast)]
        for phase, (factor, weight) in enumerate(phases, start=1):
            beta = 0.0 if self.as_released and factor < 0 else factor * self.beta
            # Nudged twice as far, it goes on from where the phase before has ended.
            start, phase_key = state if factor > 1 else free, jax.random.fold_in(free_key, phase)
            state = energetic.minimise(
                start, episode.support, phase_key, query=episode.query, beta=beta, minimiser=self.nudged
            )
            parts.append(weighted(weight, state, beta))
            reached.append(_scaled(weight, state.fast))
        gradient = self._total(parts)
        if energetic.learns_direction:
            change = self._total(reached)
            through = lambda parameters: along(learner_of(parameters), free, change, episode)  # noqa: E731
            gradient = jax.tree.map(jnp.add, gradient, jax.grad(through)(parameters))
        return MetaGradient(loss, metrics, gradient)

    def _total(self, parts: list[PyTree]) -> PyTree:
        """The sum over phases, divided by ``beta``."""
        return jax.tree.map(lambda *leaves: sum(leaves) / self.beta, *parts)

    def differentiated(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> PyTree:
        energetic = self.energetic(learner)
        start = jax.lax.stop_gradient(energetic.init(key))
        energy = energy_at(energetic, start, episode, self.beta)
        return (energy, along(energetic, start, start.fast, episode)) if energetic.learns_direction else energy


def _scaled(weight: float, tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: weight * leaf, tree)


def energy_at(
    learner: AbstractEnergyLearner, state: EnergyState, episode: Episode, beta: Float[Array, ""] | float
) -> Float[Array, ""]:
    """The part of ``E + beta outer_loss`` that depends on the meta-parameters, where a minimisation has ended."""
    if not (learner.trains_network and learner.descends_gradient):
        return learner.regulariser(state.fast)
    support, query = episode.support, episode.query
    return learner.nudged_energy(state.fast, state.buffers, support, query, beta, training=False)[0]


def along(learner: AbstractEnergyLearner, free: EnergyState, change: PyTree, episode: Episode) -> Float[Array, ""]:
    """What depends on the meta-parameters of the direction and of the network: the direction times a vector.

    The outer loss joins it where the network itself is meta-learned.
    """
    direction, _ = learner.local_direction(free.fast, free.buffers, episode.support, inner=True)
    product = sum_over(jnp.multiply, change, direction)
    if not learner.trains_network:
        return product
    return product + learner.outer_loss(free.fast, free.buffers, episode.query, training=False)[0]
