"""A meta-step without a meta-gradient: a population of meta-parameters is compared on the same episodes."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, Key, PyTree

from metaplax.estimators import AbstractEstimator
from metaplax.estimators.dependence import depends
from metaplax.learners import AbstractLearner, IncompatibleError, join, split
from metaplax.optim import Evosax
from metaplax.tasks import AbstractTask, Episode
from metaplax.training.divergence import cause
from metaplax.training.layout import AbstractLayout
from metaplax.training.meta_state import MetaState, masked_sum
from metaplax.training.result import resample_key, trial_learner
from metaplax.training.rollback import Rollback, ceiling_of

SEARCH = 2**31
"""Folded into the key of a meta-step, it gives that of the search."""


Optimizer = optax.GradientTransformation | Evosax
"""An outer optimiser: one that takes a meta-gradient, or one that compares the losses of a population."""


def check_outer(
    learner: AbstractLearner, estimator: AbstractEstimator | None, optimizer: Optimizer, episode: Episode
) -> None:
    """Refuse an estimator and an optimiser that do not fit together or to a learner, given shapes of an episode.

    Raises:
        IncompatibleError: one sentence saying why.
        ValueError: the optimiser cannot search so many meta-parameters.
    """
    if not isinstance(optimizer, Evosax):
        if estimator is None:
            raise IncompatibleError("an optimiser of optax needs a meta-gradient: give an estimator")
        estimator.check(learner, episode)
        return
    if estimator is not None:
        raise IncompatibleError(
            f"{optimizer.strategy} compares losses, so that {type(estimator).__name__} would never be asked: give"
            " estimator=None, or an optimiser of optax"
        )
    parameters, constants = split(learner)
    optimizer.check(parameters)
    key = jax.random.key(0)
    if not depends(lambda given, episode: join(given, constants).run(episode, key)[0], parameters, episode):
        raise IncompatibleError("the outer loss does not depend on any meta-parameter")


def runs_per_episode(optimizer: Optimizer) -> int:
    """How many learners run on every episode of a meta-step."""
    return optimizer.population + 1 if isinstance(optimizer, Evosax) else 1


@dataclass(frozen=True, eq=False)
class SearchStep:
    """One meta-step of one trial; its attributes are arguments of ``meta_train``.

    Every member of the population, and the mean of the distribution, runs on the same episodes with the same keys.
    What is recorded is the outer loss at the mean, which are the meta-parameters, and beside it the mean and the lowest
    one of the population. A member with an episode that explodes counts as the worst: means over fewer episodes
    would not be comparable. If all members explode, nothing changes.
    """

    optimizer: Evosax
    meta_batch: int
    resample: bool
    rollback: Rollback | None
    layout: AbstractLayout

    def __call__(
        self,
        given: tuple[AbstractLearner, AbstractTask, None],
        index: Int[Array, ""],
        state: MetaState,
        trial_key: Key[Array, ""],
    ) -> tuple[MetaState, dict[str, Array]]:
        """The state after meta-step ``index``, and what to record of it; arguments as for ``MetaStep``."""
        start, tasks, _ = given
        task = tasks.resample(resample_key(trial_key))
        step_key = jax.random.fold_in(trial_key, index)
        ask_key, tell_key = jax.random.split(jax.random.fold_in(step_key, SEARCH))
        population, asked = self.optimizer.ask(state.optimizer, state.parameters, ask_key)
        everyone = jax.tree.map(
            lambda mean, others: jnp.concatenate([mean[None], others]), state.parameters, population
        )

        def one_episode(inputs: tuple[Key[Array, ""], Int[Array, ""]]) -> PyTree:
            key, member = inputs
            parameters = jax.tree.map(lambda leaf: leaf[member], everyone)
            learner = trial_learner(start, parameters, trial_key, self.resample)
            task_key, learner_key = jax.random.split(key)
            loss, metrics = learner.run(task.sample(task_key), learner_key)
            return {"loss": loss, **metrics}, cause(loss, jnp.zeros_like(loss), ceiling_of(self.rollback))

        keys, members = jax.random.split(step_key, self.meta_batch), self.optimizer.population + 1
        inputs = jnp.tile(keys, members), jnp.repeat(jnp.arange(members), self.meta_batch)
        records, causes = self.layout.episodes(one_episode, inputs)
        records, causes = jax.tree.map(
            lambda leaf: leaf.reshape(members, self.meta_batch, *leaf.shape[1:]), (records, causes)
        )
        usable = ~jnp.any(causes, axis=2)
        losses = jnp.where(jnp.all(usable, axis=1), jnp.mean(records["loss"], axis=1), jnp.inf)[1:]
        found = jnp.isfinite(losses)
        is_found, count = jnp.any(found), jnp.sum(usable[0], dtype=jnp.int32)
        means = {name: masked_sum(value[0], usable[0]) / count for name, value in records.items()}
        means["population_loss"] = masked_sum(losses, found) / jnp.sum(found)
        means["lowest_loss"] = jnp.min(losses)

        before, memory = (state.parameters, state.optimizer), state.rollback
        stepped = self.optimizer.tell(asked, population, losses, state.parameters, tell_key)
        after = jax.tree.map(lambda new, old: jnp.where(is_found, new.astype(old.dtype), old), stepped, before)
        streak = jnp.where(is_found, 0, state.streak + 1)
        if self.rollback is not None:
            after, memory = self.rollback.step(memory, before, after, means["loss"], streak)
        parameters, optimizer_state = after
        causes = jnp.where(is_found, 0, state.causes + jnp.sum(causes, axis=(0, 1), dtype=jnp.int32))
        learner = trial_learner(start, state.parameters, trial_key, self.resample)
        row = {**means, "masked": self.meta_batch - count, **learner.scalars()}
        row |= {} if self.meta_batch == 1 else {"meta_batch": jnp.int32(self.meta_batch)}
        masked = state.masked + self.meta_batch - count
        return MetaState(parameters, optimizer_state, memory, streak, causes, masked), row
