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
from metaplax.experiments.studies.trials import compiled, operations_of_episode, size_of
from metaplax.learners import OnlineGradient, PlasticLearner
from metaplax.runs.schema import Search
from metaplax.tasks import AbstractContinualTask, Episode
from metaplax.training import trial_learner

StreamLearner = OnlineGradient | PlasticLearner
"""What learns a stream of minibatches."""

STREAMS = 0x5EED
"""Folded into the key of a trial, so that keys of streams differ from all others."""


@dataclass(frozen=True)
class RateSearch:
    """The search of a factor of the inner learning rate, or of the plasticity, for every length of a stream.

    Attributes:
        factors: the factors that are tried.
        task: streams of parts that are neither meta-learned from nor scored.
        counts: numbers of parts after which factors are compared; longer streams get the factor of the last one.
    """

    factors: tuple[float, ...]
    task: AbstractContinualTask
    counts: tuple[int, ...]


@dataclass(frozen=True)
class StreamScores(AbstractLearnedStudy):
    """Further streams, scored after some of their parts: on queries about these, and on the examples seen of them.

    Attributes:
        counts: numbers of parts after which to score; the last one is all of them, and the only one if parts come
            mixed.
        episodes: number of streams that each trial is scored on, and that every factor is compared on.
        search: how the inner learning rate is chosen for each of the counts; if not given, it is left as it is.
    """

    learner: StreamLearner
    task: AbstractContinualTask
    counts: tuple[int, ...]
    episodes: int
    search: RateSearch | None = None

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

    def memory(self, trials: int) -> int:
        states = size_of(lambda: self.learner.init(jax.random.key(0)))
        lines = len(self.search.factors) if self.search else 1
        return super().memory(trials) + lines * trials * self.episodes * states

    def operations(self, trials: int) -> int:
        return trials * self.episodes * operations_of_episode(self.learner, self.task)

    def conduct(self, conditions: Conditions) -> None:
        chosen = self.chosen(conditions)
        factors = tuple(sorted(set(chosen)))
        before = conditions.layout.pad(self._start(conditions, factors))
        each = [partial(self._one_trial, self.counts, n, factors.index(factor)) for n, factor in enumerate(chosen)]
        takes = [compiled(one, self.given, conditions.keys(), before) for one in each]
        step = lambda index, state: takes[index](0, state)  # noqa: E731
        conditions.run_steps(lambda _: step, self._start(conditions, factors), self.steps, padded=True)
        conditions.recorder.finish(self.steps, {})

    def chosen(self, conditions: Conditions) -> tuple[float, ...]:
        """For every count the factor of the inner learning rate that is best on the streams of the search."""
        search = self.search
        if search is None:
            return (1.0,) * len(self.counts)
        state = conditions.layout.pad(self._start(conditions, search.factors))
        scores, keys = [], conditions.keys()
        for index in range(len(search.counts)):
            take = compiled(
                partial(self._one_trial, search.counts, index, None), (self.learner, search.task), keys, state
            )
            state, row = take(TUNING, state)
            found = row["accuracy"] if "accuracy" in row else -row["loss"]
            means = jnp.mean(jnp.nan_to_num(found[: conditions.trials], nan=-jnp.inf), axis=0)
            scores.append([float(mean) for mean in means])
        best = [search.factors[int(np.argmax(means))] for means in scores]
        conditions.recorder.searched(
            Search(
                what="factor of the inner learning rate or of the plasticity",
                values=list(search.factors),
                on="streams of parts that are neither meta-trained on nor scored",
                episodes=self.episodes,
                after=list(search.counts),
                scores=scores,
                chosen=[*best],
            )
        )
        reached = [sum(count > tried for tried in search.counts) for count in self.counts]
        return tuple(best[min(number, len(best) - 1)] for number in reached)

    def _start(self, conditions: Conditions, factors: tuple[float, ...]) -> PyTree:
        """For every trial the meta-parameters, and for every factor that and the states before all streams."""

        def begin(parameters: PyTree, key: Key[Array, ""], factor: Float[Array, ""]) -> tuple[Array, PyTree]:
            learner = scaled(trial_learner(self.learner, parameters, key, resample=True), factor)
            init_keys = jax.vmap(lambda number: stream_keys(key, number)[2])(jnp.arange(self.episodes))
            return factor, jax.vmap(learner.init)(init_keys)

        learned = self.learned(conditions)
        with_all = jax.vmap(jax.vmap(begin, in_axes=(None, None, 0)), in_axes=(0, 0, None))
        return learned, with_all(learned, conditions.keys(), jnp.asarray(factors, float))

    def _one_trial(
        self, counts: tuple[int, ...], index: int, scored: int | None, given, first, carry, key
    ) -> tuple[PyTree, dict[str, Array]]:
        """Go on with all streams of a trial, from number ``first`` on, up to the part ``counts[index]``.

        ``carry`` holds the meta-parameters, and for every factor that and the states reached on all streams. Scores are
        those of the factor with the number ``scored``, or of all.
        """
        (start, task), (parameters, lines) = given, carry

        def along(line: tuple[Float[Array, ""], PyTree]) -> tuple[tuple[Array, PyTree], dict[str, Array]]:
            factor, states = line
            learner = scaled(trial_learner(start, parameters, key, resample=True), factor)

            def one(given: tuple[Int[Array, ""], PyTree]) -> tuple[PyTree, dict[str, Array]]:
                number, state = given
                task_key, learner_key, _ = stream_keys(key, first + number)
                part = (counts[index - 1] if index else 0, counts[index])
                return further(learner, task, task.sample(task_key), part, state, learner_key)

            states, metrics = jax.lax.map(one, (jnp.arange(self.episodes), states))
            means = jax.tree.map(partial(jnp.mean, axis=0), metrics)
            return (factor, states), {**means, "rate_factor": factor}

        lines, metrics = jax.lax.map(along, lines)
        if scored is None:
            return (parameters, lines), metrics
        metrics = jax.tree.map(lambda leaf: leaf[scored], metrics)
        return (parameters, lines), {**metrics, "meta_batch": jnp.int32(self.episodes)}


def further(
    learner: StreamLearner,
    task: AbstractContinualTask,
    episode: Episode,
    part: tuple[int, int],
    state: PyTree,
    key: Key[Array, ""],
) -> tuple[PyTree, dict[str, Array]]:
    """The state after some more parts of a stream, and its scores on all parts so far.

    Args:
        learner: learns the stream.
        task: which the stream is of.
        episode: the stream.
        part: how many parts are learned already, and how many then.
        state: before these parts.
        key: randomness of the updates.
    """
    before, count = part
    steps, queries = task.steps_per_part, task.queries_per_part
    state = learner.adapt(state, episode.support.take(slice(before * steps, count * steps)), key)
    support = episode.support.take(slice(count * steps))
    seen = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), support)
    loss, metrics = learner.evaluate(state, episode.query.take(slice(count * queries)))
    seen_loss, seen_metrics = learner.evaluate(state, seen)
    of_seen = {f"{name}_seen": value for name, value in {"loss": seen_loss, **seen_metrics}.items()}
    return state, {"loss": loss, **metrics, **of_seen, "parts": jnp.asarray(count, float)}


def scaled(learner: StreamLearner, factor: Float[Array, ""]) -> StreamLearner:
    """The same learner with its inner learning rates, or its plasticity, multiplied by a factor."""
    where = lambda it: (it.rate, it.rates) if isinstance(it, OnlineGradient) else it.rule.coefficients  # noqa: E731
    return eqx.tree_at(where, learner, jax.tree.map(lambda rate: rate * factor, where(learner)), is_leaf=_is_none)


def _is_none(leaf: object) -> bool:
    return leaf is None


def stream_keys(key: Key[Array, ""], number: Int[Array, ""]) -> Key[Array, "3"]:
    """Keys of one stream of a trial: for the stream itself, its updates, and the state before it."""
    return jax.random.split(jax.random.fold_in(jax.random.fold_in(key, STREAMS), number), 3)
