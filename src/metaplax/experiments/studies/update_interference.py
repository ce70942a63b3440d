"""Measures single weight updates after a stream: where they point, and what they do to other classes."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, Num, PyTree

from metaplax.analysis.single_updates import (
    descent_cosines,
    interference,
    output_drift,
    step_to_decrease,
    update_cosines,
)
from metaplax.experiments.base import Conditions
from metaplax.experiments.studies.learned import AbstractLearnedStudy
from metaplax.experiments.studies.stream_scores import StreamLearner
from metaplax.experiments.studies.trials import conduct_trials
from metaplax.learners import OnlineGradient
from metaplax.tasks import AbstractContinualTask, Examples
from metaplax.training import trial_learner


@dataclass(frozen=True)
class UpdateInterference(AbstractLearnedStudy):
    """After a stream of several classes, one further example of each: the updates that these would give.

    The first query of each class is its further example.

    Attributes:
        episodes: streams per trial.
        updates: updates per stream at most, on classes that are spread evenly over it.
        decrease: by how much a scaled update lowers the loss of its own example.
    """

    learner: StreamLearner
    task: AbstractContinualTask
    episodes: int
    updates: int = 20
    decrease: float = 0.1

    @property
    def steps(self) -> int:
        return self.episodes

    def conduct(self, conditions: Conditions) -> None:
        def one_trial(given, index, parameters, key):
            learner, task = trial_learner(given[0], parameters, key, resample=True), given[1]
            return parameters, self.measured(learner, task, jax.random.fold_in(key, index))

        conduct_trials(conditions, one_trial, self.given, self.learned(conditions), self.episodes)
        conditions.recorder.finish(self.episodes, {})

    def measured(self, learner: Any, task: AbstractContinualTask, key: Key[Array, ""]) -> dict[str, Float[Array, ""]]:
        """Cosines of the updates to the negative gradient and to each other, and what they do to other classes."""
        task_key, learner_key = jax.random.split(key)
        episode = task.sample(task_key)
        state = learner.adapt(learner.init(learner_key), episode.support, learner_key)
        further = episode.query.take(slice(None, None, task.queries_per_part))
        seen = learner.precompute(jax.tree.map(lambda leaf: leaf[:, None], further))
        own = jnp.linspace(0, task.parts - 1, min(self.updates, task.parts)).round().astype(int)
        mine = Examples(seen.x[own], seen.y[own])
        after = jax.lax.map(lambda example: learner.update(state, example, learner_key), mine)

        slopes = jax.lax.map(lambda one: jax.grad(partial(loss, learner))(state, one), mine)
        matrices = partial(plastic_matrices, learner)
        before, later, slopes = matrices(state), jax.vmap(matrices)(after), jax.vmap(matrices)(slopes)
        changed = [matrix - start[None] for matrix, start in zip(later, before, strict=True)]
        cosines = {f"descent_cosine{n}": c for n, c in enumerate(descent_cosines(changed, slopes), start=1)}
        overlaps = {f"update_cosine{n}": c for n, c in enumerate(update_cosines(changed), start=1)}
        effects = self._effects(learner, state, after, own, seen)
        return {**cosines, **overlaps, **effects, "loss": jnp.mean(all_losses(learner, state, seen)[0])}

    def _effects(
        self, learner: Any, state: PyTree, after: PyTree, own: Int[Array, " updates"], seen: Examples
    ) -> dict[str, Float[Array, ""]]:
        """What updates do to losses and outputs; also if all of them lower the loss of their own example equally.

        For that an update is taken longer or shorter; those that cannot lower it so much do not count.
        """
        losses, outputs = all_losses(learner, state, seen)

        def one(given: tuple[PyTree, Array]) -> tuple[Array, Array, Array]:
            after, own = given
            along = partial(between, state, after)
            mine = Examples(seen.x[own], seen.y[own])
            step = step_to_decrease(lambda step: loss(learner, along(step), mine), self.decrease)
            equal, drifted = all_losses(learner, along(step), seen)
            return all_losses(learner, after, seen)[0] - losses, equal - losses, output_drift(outputs, drifted)

        changes, equal, drifts = jax.lax.map(one, (after, own))
        plain_own, plain_others = interference(changes, own)
        return {
            "own_change": plain_own,
            "other_change": plain_others,
            "equal_other_change": interference(equal, own)[1],
            "equal_drift": interference(drifts, own)[1],
            "equal_share": jnp.mean(jnp.isfinite(equal[:, 0]), dtype=losses.dtype),
        }


def all_losses(
    learner: StreamLearner, state: PyTree, seen: Examples
) -> tuple[Float[Array, " n"], Float[Array, "n outputs"]]:
    """Losses and outputs for examples as ``precompute`` prepares minibatches of one."""
    outputs = outputs_for(learner, state, seen.x[:, 0])
    return jax.vmap(lambda output, y: learner.network.readout.loss(output[None], y))(outputs, seen.y), outputs


def loss(learner: StreamLearner, state: PyTree, one: Examples) -> Float[Array, ""]:
    """Loss for a prepared minibatch."""
    return learner.network.readout.loss(outputs_for(learner, state, one.x), one.y)


def outputs_for(learner: StreamLearner, state: PyTree, x: Num[Array, "n ..."]) -> Float[Array, "n outputs"]:
    """Outputs for prepared inputs."""
    if isinstance(learner, OnlineGradient):
        return learner.outputs(state, x)
    return jax.vmap(lambda x: learner.network(state.weights, x))(x)


def between(start: PyTree, end: PyTree, step: Float[Array, ""]) -> PyTree:
    """The state on the line through two states, as far from the first one as ``step`` times the second one is."""
    towards = lambda a, b: a + step * (b - a) if eqx.is_inexact_array(a) else a  # noqa: E731
    return jax.tree.map(towards, start, end)


def plastic_matrices(learner: StreamLearner, state: PyTree) -> list[Float[Array, "..."]]:
    """The weights of the layers behind the encoder in a state, or what has its structure, without those of biases."""
    if isinstance(learner, OnlineGradient):
        return [layer.weight for layer in learner.weights(state).layers]
    wirings = (connection.wiring for connection in learner.network.connections)
    return [matrix[..., :-1] if wiring.bias else matrix for wiring, matrix in zip(wirings, state.weights, strict=True)]
