"""The problem on which every meta-gradient has a closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.learners import AbstractEnergyLearner, AbstractMinimiser, EnergyState, IncompatibleError, Newton
from metaplax.tasks import AbstractTask, Episode


class Bowl(eqx.Module):
    """``0.5 (fast - centre)' curvature (fast - centre)``."""

    curvature: Float[Array, "n n"]
    centre: Float[Array, " n"]

    def __call__(self, fast: Float[Array, " n"]) -> Float[Array, ""]:
        """The value at these parameters."""
        away = fast - self.centre
        return 0.5 * away @ self.curvature @ away


class Quadratic(AbstractEnergyLearner):
    """``E = bowl(fast) + 0.5 sum_i strength_i (omega_i - fast_i) ** 2``; the outer loss is another bowl.

    A complex synapse for each of ``n`` fast parameters. Source: Zucchet et al. (2022), section 3.1.

    Args:
        omega: consolidated parameters, at which the fast parameters start and to which they are pulled.
        strength: strength of the pull on each parameter.
        minimiser: minimiser of the energy.
    """

    omega: Float[Array, " n"]
    strength: Float[Array, " n"]
    minimiser: AbstractMinimiser = Newton()

    def begin(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        del key
        return self.omega, ()

    def regulariser(self, fast: Float[Array, " n"]) -> Float[Array, ""]:
        return 0.5 * jnp.sum(self.strength * (self.omega - fast) ** 2)

    def inner_loss(
        self, fast: Float[Array, " n"], buffers: PyTree, examples: Bowl, training: bool
    ) -> tuple[Float[Array, ""], PyTree]:
        del training
        return examples(fast), buffers

    def evaluate(self, state: EnergyState, query: Bowl) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        return query(state.fast), {}

    def check(self, episode: Episode, classes: int | None = None) -> None:
        del classes
        for part in (episode.support, episode.query):
            if not isinstance(part, Bowl) or part.centre.shape != self.omega.shape:
                raise IncompatibleError(f"this learner takes bowls of {self.omega.shape[0]} parameters")


class RandomBowls(AbstractTask):
    """Bowls of random orientation; curvatures are log-uniform between ``1 / condition`` and 1.

    Args:
        size: number of parameters.
        condition: ratio of the largest to the smallest curvature.
    """

    size: int
    condition: float = 10.0

    def sample(self, key: Key[Array, ""]) -> Episode:
        support, query = jax.random.split(key)
        return Episode(self._bowl(support), self._bowl(query))

    def _bowl(self, key: Key[Array, ""]) -> Bowl:
        turn, bend, place = jax.random.split(key, 3)
        rotation, _ = jnp.linalg.qr(jax.random.normal(turn, (self.size, self.size)))
        curvatures = self.condition ** -jax.random.uniform(bend, (self.size,))
        return Bowl(rotation @ jnp.diag(curvatures) @ rotation.T, jax.random.normal(place, (self.size,)))
