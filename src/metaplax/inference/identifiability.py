"""Which coefficients of a rule the data determine, and which they cannot tell from each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from metaplax.inference.replay import misfit, replay, unlearned
from metaplax.learners import PlasticLearner
from metaplax.networks import BinaryCrossEntropy
from metaplax.tasks import Episode, Recordings

ALIKE = 0.95
"""From this correlation on, two coefficients are told apart hardly."""
SMALLEST = 1e-7
"""Of the eigenvalues of the curvature, relative to the largest one: single precision does not give more."""


@dataclass(frozen=True)
class Identifiability:
    """How well the data determine the coefficients of a rule, from the curvature of the misfit where the fit has ended.

    Attributes:
        names: of the coefficients.
        standard_errors: over trajectories, by the sandwich formula; NaN for fewer than two trajectories.
        slack_alone: how far each can move before one percent of the misfit without plasticity is lost.
        slack: the same where all others are fitted again.
        correlations: between the estimates.
        warnings: sentences about what the data cannot tell.

    Source: Gauss-Newton curvature and sandwich formula, see White (1982).
    """

    names: tuple[str, ...]
    standard_errors: np.ndarray
    slack_alone: np.ndarray
    slack: np.ndarray
    correlations: np.ndarray
    warnings: tuple[str, ...]


def identifiability(learner: PlasticLearner, recordings: Recordings) -> Identifiability:
    """How well recordings determine the coefficients of a polynomial rule.

    Args:
        learner: with the rule that was inferred from them.
        recordings: from which it was inferred.
    """
    curvatures, gradients, without = (np.asarray(found, float) for found in _of_all(learner, recordings.episodes))
    curvature, count = curvatures.mean(axis=0), len(gradients)
    values, directions = np.linalg.eigh(curvature)
    values = np.maximum(values, SMALLEST * max(values[-1], np.finfo(float).tiny))
    inverse = (directions / values) @ directions.T
    spread = np.atleast_2d(np.cov(gradients.T)) if count > 1 else np.full_like(inverse, np.nan)
    errors = np.sqrt(np.maximum(np.diag(inverse @ spread @ inverse) / count, 0.0))
    allowed = 2 * 0.01 * without.mean()
    sizes = np.sqrt(np.diag(inverse))
    alone = np.sqrt(allowed / np.maximum(np.diag(curvature), np.finfo(float).tiny))
    names = tuple(term.name for term in learner.rule.terms)
    slack, correlations = np.sqrt(allowed) * sizes, inverse / np.outer(sizes, sizes)
    texts = [term.text for term in learner.rule.terms]
    thetas = np.asarray(_coefficients(learner))
    return Identifiability(names, errors, alone, slack, correlations, _warnings(texts, thetas, slack, correlations))


def profile(
    learner: PlasticLearner, recordings: Recordings, name: str, offsets: Sequence[float]
) -> Float[np.ndarray, " offsets"]:
    """The misfit along one coefficient, all others as they are.

    Args:
        learner: with the rule that was inferred.
        recordings: on which the misfit is measured.
        name: of the term.
        offsets: what is added to its coefficient.

    Raises:
        ValueError: the rule has no such term.
    """
    names = [term.name for term in learner.rule.terms]
    if name not in names:
        raise ValueError(f"the rule has no term {name!r}: its terms are {', '.join(names)}")
    along = jnp.zeros(len(names)).at[names.index(name)].set(1.0)

    @jax.jit
    def at(offset: Float[Array, ""]) -> Float[Array, ""]:
        moved = _moved(learner, _coefficients(learner) + offset * along)
        return jnp.mean(jax.lax.map(lambda episode: misfit(moved, episode), recordings.episodes))

    return np.asarray([at(jnp.asarray(offset, float)) for offset in offsets])


@eqx.filter_jit
def _of_all(learner: PlasticLearner, episodes: Episode) -> tuple[Array, Array, Array]:
    """For every trajectory the curvature of the misfit, its gradient, and the misfit without plasticity."""
    is_choice = isinstance(learner.network.readout, BinaryCrossEntropy)

    def one(episode: Episode) -> tuple[Array, Array, Array]:
        said = lambda values: (out := replay(_moved(learner, values), episode).activity[-1], out)  # noqa: E731
        slopes, found = jax.jacfwd(said, has_aux=True)(_coefficients(learner))
        target = episode.support.y.reshape(found.shape)
        known = ~jnp.isnan(target)
        # The second derivative of the loss with respect to an output; times what was missed, it is the first one.
        weight = 1 / jnp.maximum(found * (1 - found), 1e-6) if is_choice else jnp.full_like(found, 2.0)
        weight = jnp.where(known, weight, 0.0) / jnp.maximum(jnp.sum(known), 1)
        missed = jnp.where(known, found - jnp.where(known, target, 0.0), 0.0)
        curvature = jnp.einsum("toi,toj,to->ij", slopes, slopes, weight)
        gradient = jnp.einsum("toi,to,to->i", slopes, missed, weight)
        return curvature, gradient, misfit(learner, unlearned(episode))

    return jax.lax.map(one, episodes)


def _coefficients(learner: PlasticLearner) -> Float[Array, " terms"]:
    return learner.rule.coefficients.values  # pyright: ignore[reportReturnType]


def _moved(learner: PlasticLearner, values: Float[Array, " terms"]) -> PlasticLearner:
    return eqx.tree_at(lambda it: it.rule.coefficients.values, learner, values)


def _warnings(texts: list[str], thetas: np.ndarray, slack: np.ndarray, correlations: np.ndarray) -> tuple[str, ...]:
    """What the data cannot tell, in sentences."""
    scale = np.abs(thetas).max()
    if not scale > 0:
        return ("all coefficients are zero: nothing was inferred",)
    loose = slack > scale / 2
    found = []
    if loose.any():
        found.append(
            f"the data do not determine {loose.sum()} of {len(texts)} coefficients: they could move by more than half"
            " of the largest one before a percent of the fit is lost, if the others make up for it"
        )
    pairs = [(abs(correlations[i, j]), i, j) for i, j in combinations(np.flatnonzero(loose), 2)]
    for size, i, j in sorted(pairs, reverse=True)[:5]:
        if size >= ALIKE:
            found.append(
                f"the data hardly tell ({texts[i]}) from ({texts[j]}): their coefficients are correlated at"
                f" {correlations[i, j]:.3f}"
            )
    return tuple(found)
