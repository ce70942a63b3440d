"""Measures single weight updates after a stream: where they point, and what they do to other classes."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.analysis.single_updates import descent_cosines, interference, update_cosines
from metaplax.experiments.base import Conditions
from metaplax.experiments.studies.learned import AbstractLearnedStudy
from metaplax.experiments.studies.stream_scores import StreamLearner
from metaplax.experiments.studies.trials import conduct_trials
from metaplax.learners import OnlineGradient
from metaplax.tasks import AbstractContinualTask, Examples


@dataclass(frozen=True)
class UpdateInterference(AbstractLearnedStudy):
    """After a stream of several classes, one further example of each: the updates that these would give.

    The first query of each class is its further example.

    Attributes:
        episodes: streams per trial.
    """

    learner: StreamLearner
    task: AbstractContinualTask
    episodes: int

    @property
    def steps(self) -> int:
        return self.episodes

    def conduct(self, conditions: Conditions) -> None:
        def one_trial(task, index, parameters, key):
            learner = self.trial_learner(parameters, key)
            return parameters, self.measured(learner, task, jax.random.fold_in(key, index))

        conduct_trials(conditions, one_trial, self.task, self.learned(conditions), self.episodes)
        conditions.recorder.finish(self.episodes, {})

    def measured(self, learner: Any, task: AbstractContinualTask, key: Key[Array, ""]) -> dict[str, Float[Array, ""]]:
        """Cosines of the updates to the negative gradient and to each other, and what they do to losses."""
        task_key, learner_key = jax.random.split(key)
        episode = task.sample(task_key)
        state = learner.adapt(learner.init(learner_key), episode.support, learner_key)
        further = episode.query.take(slice(None, None, task.queries_per_part))
        seen = learner.precompute(jax.tree.map(lambda leaf: leaf[:, None], further))
        after = [learner.update(state, Examples(seen.x[i], seen.y[i]), learner_key) for i in range(task.parts)]

        def loss(state: PyTree, example: Examples) -> Float[Array, ""]:
            return learner.evaluate(state, jax.tree.map(lambda leaf: leaf[None], example))[0]

        losses = jax.vmap(loss, in_axes=(None, 0))
        start = losses(state, further)
        own, others = interference(jnp.stack([losses(changed, further) for changed in after]), start)
        slopes = plastic_matrices(learner, jax.vmap(jax.grad(loss), in_axes=(None, 0))(state, further))
        changed = [plastic_matrices(learner, it) for it in after]
        updates = [
            jnp.stack([matrices[n] - matrix for matrices in changed])
            for n, matrix in enumerate(plastic_matrices(learner, state))
        ]
        cosines = {f"descent_cosine{n}": c for n, c in enumerate(descent_cosines(updates, slopes), start=1)}
        overlaps = {f"update_cosine{n}": c for n, c in enumerate(update_cosines(updates), start=1)}
        return {**cosines, **overlaps, "own_change": own, "other_change": others, "loss": jnp.mean(start)}


def plastic_matrices(learner: StreamLearner, state: PyTree) -> list[Float[Array, "..."]]:
    """The weights of the layers behind the encoder in a state, or what has its structure, without those of biases."""
    if isinstance(learner, OnlineGradient):
        return [layer.weight for layer in learner.weights(state).layers]
    wirings = (connection.wiring for connection in learner.network.connections)
    return [matrix[..., :-1] if wiring.bias else matrix for wiring, matrix in zip(wirings, state.weights, strict=True)]
