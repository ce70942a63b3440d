"""One meta-step of one trial: draw episodes, estimate the meta-gradient, take one optax step; and how trials start."""

from dataclasses import dataclass
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, Key, PyTree

from metaplax.estimators import RESULTS, AbstractEstimator
from metaplax.learners import AbstractLearner, split
from metaplax.learners.trainable import with_plain_numbers_frozen
from metaplax.optim import Evosax
from metaplax.tasks import AbstractTask, Episode
from metaplax.training.divergence import CAUSES, cause
from metaplax.training.layout import AbstractLayout
from metaplax.training.meta_state import MetaState, masked_sum
from metaplax.training.programs import TracedUpdate
from metaplax.training.result import resample_key, trial_learner
from metaplax.training.rollback import Rollback, ceiling_of
from metaplax.training.search_step import Optimizer

Given = tuple[AbstractLearner, AbstractTask, TracedUpdate | None]
"""What all trials share."""


@dataclass(frozen=True, eq=False)
class MetaStep:
    """One meta-step of one trial; its attributes are arguments of ``meta_train``."""

    estimator: AbstractEstimator
    meta_batch: int
    resample: bool
    rollback: Rollback | None
    layout: AbstractLayout

    def __call__(
        self, given: Given, index: Int[Array, ""], state: MetaState, trial_key: Key[Array, ""]
    ) -> tuple[MetaState, dict[str, Array]]:
        """The state after meta-step ``index``, and what to record of it."""
        learner, tasks, optimizer = given
        task = tasks.resample(resample_key(trial_key))
        learner = trial_learner(learner, state.parameters, trial_key, self.resample)

        def one_episode(inputs: tuple[Key[Array, ""], PyTree]) -> PyTree:
            found, carried = self.estimator.step(learner, task.sample, *inputs)
            why = cause(found.loss, optax.tree.norm(found.gradient), ceiling_of(self.rollback))
            wrong = {name: found.result == getattr(RESULTS, name) for name in self.estimator.problems}
            return {"loss": found.loss, **found.metrics}, found.gradient, why, wrong, carried

        keys = jax.random.split(jax.random.fold_in(trial_key, index), self.meta_batch)
        records, gradients, causes, wrong, carried = self.layout.episodes(one_episode, (keys, state.carried))
        usable = ~jnp.any(causes, axis=1)
        count = jnp.sum(usable, dtype=jnp.int32)
        gradient = [masked_sum(leaf, usable) / jnp.maximum(count, 1) for leaf in jax.tree.leaves(gradients)]
        gradient = jax.tree.unflatten(jax.tree.structure(state.parameters), gradient)
        means = {name: masked_sum(value, usable) / count for name, value in records.items()}

        before, memory = state.outer, state.rollback
        assert optimizer is not None
        updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.parameters)
        stepped = (eqx.apply_updates(state.parameters, updates), optimizer_state)
        after = jax.tree.map(lambda new, old: jnp.where(count > 0, new, old), stepped, before)
        streak = jnp.where(count > 0, 0, state.streak + 1)
        if self.rollback is not None:
            after, memory = self.rollback.step(memory, before, after, means["loss"], streak)
        parameters, optimizer_state = after

        causes = jnp.where(count > 0, 0, state.causes + jnp.sum(causes, axis=0, dtype=jnp.int32))
        row = {**means, "masked": self.meta_batch - count, **learner.scalars()}
        row |= {name: jnp.sum(values, dtype=jnp.int32) for name, values in wrong.items()}
        row |= {} if self.meta_batch == 1 else {"meta_batch": jnp.int32(self.meta_batch)}
        masked = state.masked + self.meta_batch - count
        return MetaState(parameters, optimizer_state, memory, streak, causes, masked, carried), row


def keys_of_trials(key: Key[Array, ""], trials: int) -> Key[Array, " trials"]:
    """A key for every trial."""
    return jax.vmap(lambda trial: jax.random.fold_in(key, trial))(jnp.arange(trials))


def initial_state(
    learner: AbstractLearner,
    optimizer: Optimizer,
    trial_keys: Key[Array, " trials"],
    resample: bool = False,
    rollback: Rollback | None = None,
    carried: PyTree = None,
) -> MetaState:
    """The state before the first meta-step, with a leading axis of trials; arguments as in ``meta_train``.

    ``carried`` is what ``first_carried`` gives.
    """

    def one(trial_key: Key[Array, ""]) -> MetaState:
        start = learner.resample(resample_key(trial_key)) if resample else learner
        parameters = jax.tree.map(jnp.asarray, split(start)[0])
        current = (parameters, optimizer.init(parameters))
        memory = rollback.start(current) if rollback else None
        return MetaState(*current, memory, jnp.int32(0), jnp.zeros(len(CAUSES), jnp.int32), jnp.int32(0), carried)

    return jax.vmap(one, out_axes=0)(trial_keys)


def first_carried(
    estimator: AbstractEstimator | None, learner: AbstractLearner, episode: Episode, meta_batch: int = 1
) -> PyTree:
    """What an estimator carries before the first meta-step of a trial, for every episode of the batch."""
    if estimator is None:
        return None
    first = estimator.start(with_plain_numbers_frozen(learner), episode)
    return jax.tree.map(lambda leaf: jnp.repeat(jnp.asarray(leaf)[None], meta_batch, axis=0), first)


def given_to(learner: AbstractLearner, tasks: AbstractTask, optimizer: Optimizer, state: MetaState) -> Given:
    """What all trials share; of an optimiser that takes a meta-gradient its update, with its numbers as leaves."""
    if isinstance(optimizer, Evosax):
        return learner, tasks, None
    parameters, memory = jax.eval_shape(partial(jax.tree.map, lambda leaf: leaf[0]), state.outer)
    return learner, tasks, TracedUpdate(optimizer.update, parameters, memory, parameters)
