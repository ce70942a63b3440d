"""Measures single weight updates after a stream: where they point, and what they do to other classes."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

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
        learner: the learner that takes over the meta-learned parameters; its own are ignored.
        task: distribution of streams.
        episodes: streams per trial.
    """

    learner: AbstractStreamLearner
    task: AbstractContinualTask
    episodes: int

    @property
    def steps(self) -> int:
        return self.episodes

    def conduct(self, conditions: Conditions) -> None:
        def one_trial(
            task: AbstractContinualTask, index: Int[Array, ""], parameters: PyTree, key: Key[Array, ""]
        ) -> tuple[PyTree, dict[str, Array]]:
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
        first = jax.tree.map(lambda leaf: leaf[:: task.queries_per_part], episode.query)
        seen = learner.precompute(jax.tree.map(lambda leaf: leaf[:, None], first))
        before = learner.weights(state)
        after = [
            learner.weights(learner.update(state, jax.tree.map(lambda leaf, i=i: leaf[i], seen), learner_key))
            for i in range(task.parts)
        ]
        layers = range(len(before.layers))
        updates = [jnp.stack([w.layers[n].weight - before.layers[n].weight for w in after]) for n in layers]
        slopes = [_slope(learner, before, _one(first, i)) for i in range(task.parts)]
        gradients = [jnp.stack([slope.layers[n].weight for slope in slopes]) for n in layers]
        start = _losses(learner, before, first)
        losses = jnp.stack([_losses(learner, weights, first) for weights in after])
        own, others = interference(losses, start)
        cosines = {f"descent_cosine{n}": c for n, c in enumerate(descent_cosines(updates, gradients), start=1)}
        overlaps = {f"update_cosine{n}": c for n, c in enumerate(update_cosines(updates), start=1)}
        return {**cosines, **overlaps, "own_change": own, "other_change": others, "loss": jnp.mean(start)}


def _one(examples: Examples, index: int) -> Examples:
    return jax.tree.map(lambda leaf: leaf[index : index + 1], examples)


def _loss(learner: AbstractStreamLearner, weights: EncoderWeights, examples: Examples) -> Float[Array, ""]:
    return learner.network.readout.loss(learner.network(weights, examples.x), examples.y)


def _slope(learner: AbstractStreamLearner, weights: EncoderWeights, examples: Examples) -> EncoderWeights:
    return jax.grad(lambda weights: _loss(learner, weights, examples))(weights)


def _losses(learner: AbstractStreamLearner, weights: EncoderWeights, examples: Examples) -> Float[Array, " n"]:
    """The loss of every example on its own."""
    outputs = learner.network(weights, examples.x)
    return jax.vmap(lambda out, y: learner.network.readout.loss(out[None], y[None]))(outputs, examples.y)
