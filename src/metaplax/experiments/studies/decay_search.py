"""Studies that try numbers at random and keep the best: what meta-gradients must be measured against."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.experiments.base import AbstractTraining, Conditions
from metaplax.learners import MetaRegularised, join, split
from metaplax.runs import CheckpointError, FolderRecorder, Step
from metaplax.tasks import AbstractTask
from metaplax.training import choose_layout, resample_key


class Found(eqx.Module):
    """What a search has found so far.

    Attributes:
        strength: the best one.
        loss: with it.
        metrics: with it.
    """

    strength: Float[Array, "*trials"]
    loss: Float[Array, "*trials"]
    metrics: dict[str, Float[Array, "*trials"]]


@dataclass(frozen=True)
class DecaySearch(AbstractTraining):
    """One strength of the regulariser for all weights: tried at random, the one with the lowest outer loss is kept.

    What is recorded is what the best strength so far gives.

    Attributes:
        learner: all its strengths are set to the one that is tried.
        task: what it is tried on.
        tries: how many are tried, each on a whole inner loop.
        lowest: strengths are log-uniform from here ...
        highest: ... to here; if both are zero, zero is all that is tried.
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
        return f"{self.lowest} to {self.highest}: {eqx.tree_pformat(self.learner)}"

    def check(self) -> None:
        self.learner.check(jax.eval_shape(self.task.sample, jax.random.key(0)), self.task.classes)

    def with_strength(self, key: Key[Array, ""], strength: Float[Array, ""]) -> MetaRegularised:
        """The learner of a trial with one strength for all weights."""
        learner = self.learner.resample(resample_key(key))
        every = jax.tree.map(lambda leaf: jnp.full_like(leaf, strength), learner.strength)
        return eqx.tree_at(lambda tree: tree.strength, learner, every)

    def conduct(self, conditions: Conditions) -> None:
        layout, keys = choose_layout(conditions.trials), conditions.keys()
        arrays, statics = eqx.partition(self.task, eqx.is_array)

        def one_trial(
            arrays: PyTree, index: Int[Array, ""], best: Found, key: Key[Array, ""]
        ) -> tuple[Found, dict[str, Any]]:
            task = eqx.combine(arrays, statics).resample(resample_key(key))
            task_key, learner_key = jax.random.split(jax.random.fold_in(key, index))
            strength = self._draw(jax.random.fold_in(learner_key, 1))
            learner = join(*split(self.with_strength(key, strength)))
            loss, metrics = learner.run(task.sample(task_key), learner_key)
            better = loss < best.loss
            best = jax.tree.map(lambda new, old: jnp.where(better, new, old), Found(strength, loss, metrics), best)
            return best, {"loss": best.loss, **best.metrics, "strength": best.strength}

        def compiled(state: Found) -> Step:
            take = jax.jit(layout.trials(one_trial)).lower(arrays, jnp.int32(0), state, keys).compile()
            return lambda index, state: take(arrays, jnp.int32(index), state, keys)

        best = conditions.run_steps(compiled, self._start(keys), self.tries)
        conditions.recorder.finish(self.tries, {"strength": jax.device_get(best.strength)})

    def _draw(self, key: Key[Array, ""]) -> Float[Array, ""]:
        if not self.highest:
            return jnp.zeros(())
        exponent = jax.random.uniform(key, (), minval=jnp.log(self.lowest), maxval=jnp.log(self.highest))
        return jnp.exp(exponent)

    def _start(self, keys: Key[Array, " trials"]) -> Found:
        """Before the first try: nothing, infinitely bad."""
        shapes = jax.eval_shape(lambda: self.task.sample(jax.random.key(0)))
        metrics = jax.eval_shape(lambda: self.learner.run(_filled(shapes), jax.random.key(0))[1])
        nothing = jnp.full(len(keys), jnp.inf)
        return Found(jnp.zeros(len(keys)), nothing, {name: jnp.full(len(keys), jnp.nan) for name in metrics})

    def trained(self, recorder: FolderRecorder, keys: Key[Array, " trials"]) -> PyTree:
        done, best = recorder.checkpoints.latest(self._start(keys))
        if done < self.tries:
            raise CheckpointError(f"{recorder.rule!r} is not searched yet: {done} of {self.tries} tries are done")
        return jax.vmap(lambda key, strength: split(self.with_strength(key, strength))[0])(keys, best.strength)


def _filled(shapes: PyTree) -> PyTree:
    return jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
