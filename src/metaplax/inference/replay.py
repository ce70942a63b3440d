"""A recorded experiment replayed by a learner: what it says at every step, with which weights."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from metaplax.learners import PlasticLearner, PlasticState
from metaplax.networks import Weights
from metaplax.tasks import Episode


class Replay(eqx.Module):
    """One trajectory as a learner goes through it.

    Attributes:
        activity: of every population behind the input at every step, before the update; the output comes last.
        weights: weights at every step, before the update, an array per connection.
    """

    activity: tuple[Float[Array, "..."], ...]
    weights: Weights


def replay(learner: PlasticLearner, episode: Episode) -> Replay:
    """Go through one trajectory with the recorded inputs, choices and rewards.

    Args:
        learner: the learner.
        episode: the trajectory; where the network has time, one sequence, with updates at every step.
    """
    key = jax.random.key(0)
    seen, network = learner.precompute(episode.support), learner.network

    def step(state: PlasticState, inputs: tuple[PyTree, Array]) -> tuple[PlasticState, Replay]:
        example, index = inputs
        dynamics = state.dynamics if learner.every_step else network.start()
        activity = network.step(state.weights, dynamics, example.x)[1]
        found = Replay(activity.y[1:], state.weights)
        return learner.update(state, example, jax.random.fold_in(key, index)), found

    steps = jax.tree.leaves(seen)[0].shape[0]
    return jax.lax.scan(step, learner.first_state(episode, key), (seen, jnp.arange(steps)))[1]


def unlearned(episode: Episode) -> Episode:
    """The same trajectory, in which nothing is learned: what a rule has to be better than."""
    support = episode.support
    learns = jnp.zeros(support.y.shape[:-1])
    return eqx.tree_at(lambda it: it.support.learns, episode, learns, is_leaf=lambda leaf: leaf is None)


def misfit(learner: PlasticLearner, episode: Episode) -> Float[Array, ""]:
    """Mean loss over the steps of one trajectory, without any penalty."""
    return learner.run(episode, jax.random.key(0))[1]["misfit"]


def explained(learner: PlasticLearner, episode: Episode, null: PlasticLearner | None = None) -> Float[Array, ""]:
    """Percent of the misfit without plasticity that the rule explains; of choices, percent deviance explained.

    ``100 (1 - D / D_0)``: 100 for a perfect fit, 0 for a rule that changes nothing, negative for one that is worse.

    Args:
        learner: with the rule.
        episode: the trajectory.
        null: has the initial weights of ``D_0``; by default those of the learner.
    """
    without = misfit(learner if null is None else null, unlearned(episode))
    return 100 * (1 - misfit(learner, episode) / without)


def pooled_r2(truth: Float[Array, "..."], found: Float[Array, "..."]) -> Float[Array, ""]:
    """Coefficient of determination over all entries at once; those that are NaN in the truth are left out.

    ``R^2 = 1 - sum (truth - found)^2 / sum (truth - mean)^2``. One mean for all entries, as a weight that never moves
    has no variance of its own.
    """
    known = ~jnp.isnan(truth)
    truth, found = jnp.where(known, truth, 0.0), jnp.where(known, found, 0.0)
    mean = jnp.sum(truth) / jnp.maximum(jnp.sum(known), 1)
    rest = jnp.sum((truth - found) ** 2)
    return 1 - rest / jnp.sum(jnp.where(known, (truth - mean) ** 2, 0.0))
