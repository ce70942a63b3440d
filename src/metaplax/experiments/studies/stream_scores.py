"""Studies of what was meta-learned on long streams: how much is known after so many classes or functions."""

from dataclasses import dataclass
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.experiments.base import AbstractStudy, AbstractTraining, Conditions
from metaplax.experiments.studies.transfer import TUNING, taken_over
from metaplax.learners import AbstractStreamLearner, join
from metaplax.runs import Step
from metaplax.tasks import AbstractContinualTask, Episode, Examples
from metaplax.training import choose_layout, resample_key

STREAMS = 0x5EED
"""Sets the keys of streams apart from others of a trial."""


@dataclass(frozen=True)
class StreamScores(AbstractStudy):
    """Further streams, each scored after the first so many parts: on queries of these, and on what was seen of them.

    Attributes:
        origin: name of the study that meta-trains.
        training: that study.
        learner: the learner that takes over the meta-learned parameters; its own are ignored.
        task: distribution of streams. If it mixes its parts there is one score, after all of them.
        counts: after how many parts to score; the last one is all of them.
        episodes: how many streams each trial is scored on.
        rates: if there are any, learning rates of which the one is used that is best at the end of other streams of
            the same task.
    """

    origin: str
    training: AbstractTraining
    learner: AbstractStreamLearner
    task: AbstractContinualTask
    counts: tuple[int, ...]
    episodes: int
    rates: tuple[float, ...] = ()

    @property
    def steps(self) -> int:
        return len(self.counts)

    @property
    def fingerprint(self) -> str:
        return f"{self.origin} along {self.counts} of {self.episodes} on {eqx.tree_pformat(self.learner)}"

    def check(self) -> None:
        self.learner.check(jax.eval_shape(self.task.sample, jax.random.key(0)), self.task.classes)
        assert self.counts[-1] == self.task.parts
        assert self.task.order == "continual" or len(self.counts) == 1

    def conduct(self, conditions: Conditions) -> None:
        keys = conditions.keys()
        learned, constants = taken_over(conditions, self.origin, self.training, self.learner)
        layout = choose_layout(conditions.trials)
        arrays, statics = eqx.partition(self.task, eqx.is_array)

        def one_trial(
            arrays: PyTree, index: int, fold: Array, carry: tuple[PyTree, PyTree, Array], key: Key[Array, ""]
        ) -> tuple[PyTree, dict[str, Array]]:
            parameters, states, rate = carry
            task = eqx.combine(arrays, statics).resample(resample_key(key))
            learner = self._learner(parameters, constants, rate)

            def one(given: tuple[Int[Array, ""], PyTree]) -> tuple[PyTree, dict[str, Array]]:
                number, state = given
                task_key, learner_key, _ = stream_keys(key, fold + number)
                return self._further(learner, task.sample(task_key), index, state, learner_key)

            states, metrics = jax.lax.map(one, (jnp.arange(self.episodes), states))
            means = jax.tree.map(partial(jnp.mean, axis=0), metrics)
            return (parameters, states, rate), {**means, "episodes": jnp.int32(self.episodes)}

        def begin(parameters: PyTree, rate: Float[Array, ""], key: Key[Array, ""]) -> tuple[PyTree, PyTree, Array]:
            learner = self._learner(parameters, constants, rate)
            init_keys = jax.vmap(lambda number: stream_keys(key, number)[2])(jnp.arange(self.episodes))
            return parameters, jax.vmap(learner.init)(init_keys), rate

        def start(rate: float) -> PyTree:
            rates = jnp.full(conditions.trials, rate)
            return jax.vmap(begin)(learned, rates, keys)

        takes = [
            jax.jit(layout.trials(partial(_at, one_trial, index)))
            .lower(arrays, jnp.int32(0), start(0.0), keys)
            .compile()
            for index in range(self.steps)
        ]

        def step(index: int, carry: PyTree, fold: int = 0) -> tuple[PyTree, dict[str, Array]]:
            return takes[index](arrays, jnp.int32(fold), carry, keys)

        rate = self._tuned(step, start)
        conditions.run_steps(lambda _: step, start(rate), self.steps)
        conditions.recorder.finish(self.steps, {"rate": np.full(conditions.trials, rate)} if self.rates else {})

    def _learner(self, parameters: PyTree, constants: PyTree, rate: Float[Array, ""]) -> AbstractStreamLearner:
        learner = join(parameters, constants)
        assert isinstance(learner, AbstractStreamLearner)
        return eqx.tree_at(lambda it: it.rate, learner, rate) if self.rates else learner

    def _further(
        self, learner: AbstractStreamLearner, episode: Episode, index: int, state: PyTree, key: Key[Array, ""]
    ) -> tuple[PyTree, dict[str, Array]]:
        """The state after the parts up to number ``index`` of the counts, and its scores on all parts so far."""
        before, count = (0, *self.counts)[index : index + 2]
        steps, queries = self.task.steps_per_part, self.task.queries_per_part
        piece = jax.tree.map(lambda leaf: leaf[before * steps : count * steps], episode.support)
        state = learner.adapt(state, piece, key)
        seen = jax.tree.map(lambda leaf: leaf[: count * steps].reshape(-1, *leaf.shape[2:]), episode.support)
        loss, metrics = learner.evaluate(state, _first(episode.query, count * queries))
        seen_loss, seen_metrics = learner.evaluate(state, seen)
        of_seen = {f"{name}_seen": value for name, value in {"loss": seen_loss, **seen_metrics}.items()}
        return state, {"loss": loss, **metrics, **of_seen, "parts": jnp.asarray(count, float)}

    def _tuned(self, step: Step, start: PyTree) -> float:
        if len(self.rates) < 2:
            return self.rates[0] if self.rates else 0.0
        scores = []
        for rate in self.rates:
            carry, found = start(rate), {}
            for index in range(self.steps):
                carry, found = step(index, carry, TUNING)  # type: ignore[call-arg]
            score = found["accuracy"] if "accuracy" in found else -found["loss"]
            scores.append(float(jnp.mean(jnp.nan_to_num(score, nan=-jnp.inf))))
        return self.rates[int(np.argmax(scores))]


def stream_keys(key: Key[Array, ""], number: Int[Array, ""]) -> Key[Array, "3"]:
    """Keys of one stream of a trial: of the stream itself, of its updates, and of the state before it."""
    return jax.random.split(jax.random.fold_in(jax.random.fold_in(key, STREAMS), number), 3)


def _at(function, index: int, arrays: PyTree, fold: Array, carry: PyTree, key: Key[Array, ""]) -> PyTree:
    """A step of one trial as layouts take it, with the index of the step fixed."""
    return function(arrays, index, fold, carry, key)


def _first(examples: Examples, count: int) -> Examples:
    return jax.tree.map(lambda leaf: leaf[:count], examples)
