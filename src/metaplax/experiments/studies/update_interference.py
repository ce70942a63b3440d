"""Measures single weight updates after a stream: where they point, and what they do to other classes."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from metaplax.analysis.single_updates import descent_cosines, interference, update_cosines
from metaplax.experiments.base import Conditions
from metaplax.experiments.studies.learned import AbstractLearnedStudy
from metaplax.experiments.studies.trials import conduct_trials
from metaplax.learners import AbstractStreamLearner
from metaplax.networks import EncoderWeights
from metaplax.tasks import AbstractContinualTask, Examples


@dataclass(frozen=True)
class UpdateInterference(AbstractLearnedStudy):
    """After a stream of several classes, one further example of each: the updates that these would give.

    The first query of each class is its further example.

    Attributes:
        episodes: streams per trial.
    """

    learner: AbstractStreamLearner
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

    def measured(
        self, learner: AbstractStreamLearner, task: AbstractContinualTask, key: Key[Array, ""]
    ) -> dict[str, Float[Array, ""]]:
        """Cosines of the updates to the negative gradient and to each other, and what they do to losses."""
        task_key, learner_key = jax.random.split(key)
        episode = task.sample(task_key)
        state = learner.adapt(learner.init(learner_key), episode.support, learner_key)
        before, further = learner.weights(state), episode.query.take(slice(None, None, task.queries_per_part))
        seen = learner.precompute(jax.tree.map(lambda leaf: leaf[:, None], further))
        after = [
            learner.weights(learner.update(state, Examples(seen.x[i], seen.y[i]), learner_key))
            for i in range(task.parts)
        ]

        def loss(weights: EncoderWeights, example: Examples) -> Float[Array, ""]:
            return learner.network.readout.loss(learner.network(weights, example.x[None]), example.y[None])

        losses = jax.vmap(loss, in_axes=(None, 0))
        gradients = jax.vmap(jax.grad(loss), in_axes=(None, 0))(before, further)
        start = losses(before, further)
        own, others = interference(jnp.stack([losses(weights, further) for weights in after]), start)
        slopes = [layer.weight for layer in gradients.layers]
        updates = [
            jnp.stack([weights.layers[n].weight - layer.weight for weights in after])
            for n, layer in enumerate(before.layers)
        ]
        cosines = {f"descent_cosine{n}": c for n, c in enumerate(descent_cosines(updates, slopes), start=1)}
        overlaps = {f"update_cosine{n}": c for n, c in enumerate(update_cosines(updates), start=1)}
        return {**cosines, **overlaps, "own_change": own, "other_change": others, "loss": jnp.mean(start)}
