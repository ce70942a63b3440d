"""Searches at random for a decay that is the same for all weights: the baseline of meta-learned decays."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.experiments.base import AbstractTraining, Conditions
from metaplax.experiments.studies.trials import conduct_trials
from metaplax.learners import MetaRegularised, join, split
from metaplax.runs import CheckpointError, FolderRecorder, fingerprint
from metaplax.tasks import AbstractTask
from metaplax.training import resample_key


class Found(eqx.Module):
    """The best decay so far.

    Attributes:
        decay: the decay.
        loss: the outer loss with it.
        metrics: further numbers to record with it.
    """

    decay: Float[Array, "*trials"]
    loss: Float[Array, "*trials"]
    metrics: dict[str, Float[Array, "*trials"]]


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

    def with_decay(self, key: Key[Array, ""], decay: Float[Array, ""]) -> MetaRegularised:
        """The learner of the trial with this key, with one decay for all weights."""
        learner = self.learner.resample(resample_key(key))
        every = jax.tree.map(lambda leaf: jnp.full_like(leaf, decay), self.learner.decay)
        return eqx.tree_at(lambda tree: tree.decay, learner, every)

    def conduct(self, conditions: Conditions) -> None:
        def one_trial(
            task: AbstractTask, index: Int[Array, ""], best: Found, key: Key[Array, ""]
        ) -> tuple[Found, dict[str, Any]]:
            task_key, learner_key = jax.random.split(jax.random.fold_in(key, index))
            decay = self._draw(jax.random.fold_in(learner_key, 1))
            learner = join(*split(self.with_decay(key, decay)))
            loss, metrics = learner.run(task.sample(task_key), learner_key)
            better = loss < best.loss
            best = jax.tree.map(lambda new, old: jnp.where(better, new, old), Found(decay, loss, metrics), best)
            return best, {"loss": best.loss, **best.metrics, "decay": best.decay}

        best = conduct_trials(conditions, one_trial, self.task, self._start(conditions.keys()), self.tries)
        conditions.recorder.finish(self.tries, {"decay": jax.device_get(best.decay)})

    def _draw(self, key: Key[Array, ""]) -> Float[Array, ""]:
        if not self.highest:
            return jnp.zeros(())
        exponent = jax.random.uniform(key, (), minval=jnp.log(self.lowest), maxval=jnp.log(self.highest))
        return jnp.exp(exponent)

    def _start(self, keys: Key[Array, " trials"]) -> Found:
        """The state before the first try, with an infinite loss."""
        metrics = jax.eval_shape(lambda key: self.learner.run(self.task.sample(key), key)[1], jax.random.key(0))
        unknown = {name: jnp.full(len(keys), jnp.nan) for name in metrics}
        return Found(jnp.zeros(len(keys)), jnp.full(len(keys), jnp.inf), unknown)

    def trained(self, recorder: FolderRecorder, keys: Key[Array, " trials"]) -> PyTree:
        done, best = recorder.checkpoints.latest(self._start(keys))
        if done < self.tries:
            raise CheckpointError(f"{recorder.study!r} is not searched yet: {done} of {self.tries} tries are done")
        return jax.vmap(lambda key, decay: split(self.with_decay(key, decay))[0])(keys, best.decay)
