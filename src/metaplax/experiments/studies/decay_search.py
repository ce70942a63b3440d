"""Searches at random for a decay that is the same for all weights: the baseline of meta-learned decays."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.experiments.base import AbstractTraining, Conditions
from metaplax.experiments.studies.trials import conduct_trials, operations_of_episode, size_of_episode
from metaplax.learners import MetaRegularised, join, split
from metaplax.runs import CheckpointError, FolderRecorder, fingerprint
from metaplax.runs.schema import Search
from metaplax.tasks import AbstractTask
from metaplax.training import choose_layout, resample_key

Found = dict[str, Float[Array, "*trials"]]
"""The best decay so far, the outer loss with it, and further numbers to record with it."""


@dataclass(frozen=True)
class DecaySearch(AbstractTraining):
    """Decays are tried at random; the one with the lowest outer loss is kept, and its loss is recorded in every step.

    Attributes:
        learner: the learner, all decays of which are set to the one that is tried.
        task: distribution of episodes.
        tries: number of decays to try, one per step.
        lowest: smallest decay; decays are log-uniform from here to ``highest``.
        highest: largest decay; if it is zero, zero is all that is tried.
    """

    learner: MetaRegularised
    task: AbstractTask
    tries: int
    lowest: float
    highest: float

    @property
    def steps(self) -> int:
        return self.tries

    @property
    def fingerprint(self) -> str:
        return f"{self.lowest} to {self.highest}: {fingerprint(self.learner)}"

    def check(self) -> None:
        self.learner.check(jax.eval_shape(self.task.sample, jax.random.key(0)), self.task.classes)

    def memory(self, trials: int) -> int:
        return choose_layout(trials).at_once(trials, 1) * size_of_episode(self.learner, self.task)

    def operations(self, trials: int) -> int:
        return trials * self.tries * operations_of_episode(self.learner, self.task)

    def conduct(self, conditions: Conditions) -> None:
        def one_trial(given, index, best, key):
            learner, task = given
            task_key, learner_key = jax.random.split(jax.random.fold_in(key, index))
            decay = self._draw(jax.random.fold_in(learner_key, 1))
            loss, metrics = join(*split(_with_decay(learner, key, decay))).run(task.sample(task_key), learner_key)
            new = {"loss": loss, **metrics, "decay": decay}
            best = jax.tree.map(lambda new, old: jnp.where(loss < best["loss"], new, old), new, best)
            return best, best

        best = conduct_trials(
            conditions, one_trial, (self.learner, self.task), self._start(conditions.keys()), self.tries
        )
        if self.highest:
            conditions.recorder.searched(
                Search(
                    what="one decay for all weights, drawn log-uniformly between these values",
                    values=[self.lowest, self.highest],
                    on="the outer loss, which the other arms are meta-trained on",
                    episodes=self.tries,
                    chosen=[float(decay) for decay in best["decay"]],
                )
            )
        conditions.recorder.finish(self.tries, {"decay": jax.device_get(best["decay"])})

    def trained(self, recorder: FolderRecorder, keys: Key[Array, " trials"]) -> PyTree:
        done, best = recorder.checkpoints.latest(self._start(keys))
        if done < self.tries:
            raise CheckpointError(f"{recorder.study!r} is not searched yet: {done} of {self.tries} tries are done")
        return jax.vmap(lambda key, decay: split(_with_decay(self.learner, key, decay))[0])(keys, best["decay"])

    def _draw(self, key: Key[Array, ""]) -> Float[Array, ""]:
        if not self.highest:
            return jnp.zeros(())
        exponent = jax.random.uniform(key, (), minval=jnp.log(self.lowest), maxval=jnp.log(self.highest))
        return jnp.exp(exponent)

    def _start(self, keys: Key[Array, " trials"]) -> Found:
        """The state before the first try, with an infinite loss."""
        metrics = jax.eval_shape(lambda key: self.learner.run(self.task.sample(key), key)[1], jax.random.key(0))
        start = {"loss": jnp.inf, **dict.fromkeys(metrics, jnp.nan), "decay": 0.0}
        return {name: jnp.full(len(keys), value) for name, value in start.items()}


def _with_decay(learner: MetaRegularised, key: Key[Array, ""], decay: Float[Array, ""]) -> MetaRegularised:
    """The learner of the trial with this key, with one decay for all weights."""
    every = jax.tree.map(lambda leaf: jnp.full_like(leaf, decay), learner.decay)
    return eqx.tree_at(lambda tree: tree.decay, learner.resample(resample_key(key)), every)
