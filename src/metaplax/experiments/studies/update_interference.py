"""Studies of single weight updates after a stream: where they point, and what they do to other classes."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.analysis.single_updates import descent_cosines, interference, update_cosines
from metaplax.experiments.base import AbstractStudy, AbstractTraining, Conditions
from metaplax.experiments.studies.transfer import taken_over
from metaplax.learners import AbstractStreamLearner, join
from metaplax.networks import EncoderWeights
from metaplax.runs import Step
from metaplax.tasks import AbstractContinualTask, Examples
from metaplax.training import choose_layout, resample_key


@dataclass(frozen=True)
class UpdateInterference(AbstractStudy):
    """After a stream of several classes, one further example of each: the updates they would give.

    Attributes:
        origin: name of the study that meta-trains.
        training: that study.
        learner: the learner that takes over the meta-learned parameters.
        task: distribution of streams; the first query of each class is the further example.
        episodes: streams per trial.
    """

    origin: str
    training: AbstractTraining
    learner: AbstractStreamLearner
    task: AbstractContinualTask
    episodes: int

    @property
    def steps(self) -> int:
        return self.episodes

    @property
    def fingerprint(self) -> str:
        return f"updates of {self.origin} on {eqx.tree_pformat(self.learner)}"

    def check(self) -> None:
        self.learner.check(jax.eval_shape(self.task.sample, jax.random.key(0)), self.task.classes)

    def conduct(self, conditions: Conditions) -> None:
        keys = conditions.keys()
        learned, constants = taken_over(conditions, self.origin, self.training, self.learner)
        layout = choose_layout(conditions.trials)
        arrays, statics = eqx.partition(self.task, eqx.is_array)

        def one_trial(
            arrays: PyTree, index: Int[Array, ""], parameters: PyTree, key: Key[Array, ""]
        ) -> tuple[PyTree, dict[str, Array]]:
            task = eqx.combine(arrays, statics).resample(resample_key(key))
            learner = join(parameters, constants)
            assert isinstance(learner, AbstractStreamLearner)
            return parameters, self.measured(learner, task, jax.random.fold_in(key, index))

        def compiled(parameters: PyTree) -> Step:
            take = jax.jit(layout.trials(one_trial)).lower(arrays, jnp.int32(0), parameters, keys).compile()
            return lambda index, parameters: take(arrays, jnp.int32(index), parameters, keys)

        conditions.run_steps(compiled, learned, self.episodes)
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
