"""Scores what was meta-learned along further, longer streams."""

from dataclasses import dataclass
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.experiments.base import Conditions
from metaplax.experiments.studies.learned import AbstractLearnedStudy
from metaplax.experiments.studies.transfer import TUNING
from metaplax.experiments.studies.trials import best_of, compiled
from metaplax.learners import OnlineGradient, PlasticLearner
from metaplax.tasks import AbstractContinualTask, Episode

StreamLearner = OnlineGradient | PlasticLearner
"""What learns a stream of minibatches."""

STREAMS = 0x5EED
"""Folded into the key of a trial, so that keys of streams differ from all others."""


@dataclass(frozen=True)
class StreamScores(AbstractLearnedStudy):
    """Further streams, scored after some of their parts: on queries about these, and on the examples seen of them.

    Attributes:
        counts: numbers of parts after which to score; the last one is all of them, and the only one if parts come
            mixed.
        episodes: number of streams that each trial is scored on.
        rates: if there are any, the learning rate is the one of them that is best at the end of other streams of the
            same task.
    """

    learner: StreamLearner
    task: AbstractContinualTask
    counts: tuple[int, ...]
    episodes: int
    rates: tuple[float, ...] = ()

    @property
    def steps(self) -> int:
        return len(self.counts)

    @property
    def fingerprint(self) -> str:
        return f"{super().fingerprint} along {self.counts} of {self.episodes}"

    def check(self) -> None:
        super().check()
        assert self.counts[-1] == self.task.parts
        assert self.task.order == "continual" or len(self.counts) == 1

    def conduct(self, conditions: Conditions) -> None:
        learned, keys = self.learned(conditions), conditions.keys()

        def begin(parameters: PyTree, rate: Float[Array, ""], key: Key[Array, ""]) -> tuple[PyTree, PyTree, Array]:
            learner = self._learner(parameters, rate, key)
            init_keys = jax.vmap(lambda number: stream_keys(key, number)[2])(jnp.arange(self.episodes))
            return parameters, jax.vmap(learner.init)(init_keys), rate

        def start(rate: float) -> PyTree:
            return jax.vmap(begin)(learned, jnp.full(conditions.trials, rate), keys)

        # Every step sees a longer part of the streams than the one before: it is a program of its own.
        before = conditions.layout.pad(start(0.0))
        takes = [compiled(partial(self._one_trial, index), self.task, keys, before) for index in range(self.steps)]

        def score(rate: float) -> float:
            state, row = conditions.layout.pad(start(rate)), {}
            for take in takes:
                state, row = take(TUNING, state)
            found = row["accuracy"] if "accuracy" in row else -row["loss"]
            return float(jnp.mean(jnp.nan_to_num(found, nan=-jnp.inf)))

        rate = best_of(self.rates, score) if self.rates else 0.0
        step = lambda index, state: takes[index](0, state)  # noqa: E731
        conditions.run_steps(lambda _: step, start(rate), self.steps, padded=True)
        conditions.recorder.finish(self.steps, {"rate": np.full(conditions.trials, rate)} if self.rates else {})

    def _one_trial(self, index: int, task, first, carry, key) -> tuple[PyTree, dict[str, Array]]:
        """Go on with all streams of a trial, from number ``first`` on, up to the part ``counts[index]``.

        ``carry`` holds the meta-parameters, the states reached on all streams, and the learning rate.
        """
        parameters, states, rate = carry
        learner = self._learner(parameters, rate, key)

        def one(given: tuple[Int[Array, ""], PyTree]) -> tuple[PyTree, dict[str, Array]]:
            number, state = given
            task_key, learner_key, _ = stream_keys(key, first + number)
            return self._further(learner, task.sample(task_key), index, state, learner_key)

        states, metrics = jax.lax.map(one, (jnp.arange(self.episodes), states))
        means = jax.tree.map(partial(jnp.mean, axis=0), metrics)
        return (parameters, states, rate), {**means, "meta_batch": jnp.int32(self.episodes)}

    def _learner(self, parameters: PyTree, rate: Float[Array, ""], key: Key[Array, ""]) -> StreamLearner:
        learner = self.trial_learner(parameters, key)
        return with_rate(learner, rate) if self.rates else learner

    def _further(
        self, learner: StreamLearner, episode: Episode, index: int, state: PyTree, key: Key[Array, ""]
    ) -> tuple[PyTree, dict[str, Array]]:
        """The state after the first ``counts[index]`` parts, and its scores on these."""
        before, count = (0, *self.counts)[index : index + 2]
        steps, queries = self.task.steps_per_part, self.task.queries_per_part
        state = learner.adapt(state, episode.support.take(slice(before * steps, count * steps)), key)
        support = episode.support.take(slice(count * steps))
        seen = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), support)
        loss, metrics = learner.evaluate(state, episode.query.take(slice(count * queries)))
        seen_loss, seen_metrics = learner.evaluate(state, seen)
        of_seen = {f"{name}_seen": value for name, value in {"loss": seen_loss, **seen_metrics}.items()}
        return state, {"loss": loss, **metrics, **of_seen, "parts": jnp.asarray(count, float)}


def with_rate(learner: StreamLearner, rate: Float[Array, ""]) -> StreamLearner:
    """The same learner with this learning rate: of gradient descent, or of a rule of one term."""
    if isinstance(learner, OnlineGradient):
        return eqx.tree_at(lambda it: it.rate, learner, rate)
    return eqx.tree_at(lambda it: it.rule.coefficients, learner, learner.rule.coefficients.filled(rate[None]))


def stream_keys(key: Key[Array, ""], number: Int[Array, ""]) -> Key[Array, "3"]:
    """Keys of one stream of a trial: for the stream itself, its updates, and the state before it."""
    return jax.random.split(jax.random.fold_in(jax.random.fold_in(key, STREAMS), number), 3)
