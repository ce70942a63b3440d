"""Measures how one network learns one long stream by a given rule, without meta-training."""

from dataclasses import dataclass, replace

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Key, PyTree

from metaplax.experiments.base import AbstractStudy, Conditions
from metaplax.experiments.operations import operations
from metaplax.experiments.studies.trials import best_of, conduct_trials, size_of
from metaplax.learners import PlasticLearner, join, split
from metaplax.plasticity import PrintedTerm
from metaplax.runs import MemoryRecorder, NoProgress, fingerprint
from metaplax.runs.schema import Search
from metaplax.tasks import Episode, ImageStream

ONSET = 0.25
"""Accuracy above which a network has begun to learn; the number of images until then is recorded, NaN if never.

So is the number of images until the loss was not finite, if that happens in any trial."""


SEARCHING = 2**31
"""Folded into the key of a run for the trials of a search."""


@dataclass(frozen=True)
class OnlineSearch:
    """The search for a learning rate before a stream is learned.

    Attributes:
        rates: what is tried, each in as many trials as there are.
        stream: the same images to learn from, and others to score.
        averaged: number of last scores whose mean decides.
    """

    rates: tuple[float, ...]
    stream: ImageStream
    averaged: int


def with_rate(learner: PlasticLearner, rate: float) -> PlasticLearner:
    """The learner with another coefficient of its only term."""
    return eqx.tree_at(lambda it: it.rule.coefficients, learner, learner.rule.coefficients.filled((rate,)))


@dataclass(frozen=True)
class OnlineLearning(AbstractStudy):
    """A learner sees a stream once, image by image, and is scored every so often.

    Attributes:
        learner: network and rule.
        stream: images.
        every: images between two scores.
        pieces: number of scores.
        search: how the learning rate is chosen before; ``None`` to take the learner as it is.
    """

    learner: PlasticLearner
    stream: ImageStream
    every: int
    pieces: int
    search: OnlineSearch | None = None

    @property
    def steps(self) -> int:
        return self.pieces

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.learner)

    def check(self) -> None:
        key = jax.random.key(0)
        shapes = jax.eval_shape(
            lambda: Episode(self.stream.piece(self.stream.order(key), 0, self.every), self.stream.query(key))
        )
        self.learner.check(shapes, self.stream.classes)

    def memory(self, trials: int) -> int:
        key = jax.random.key(0)
        return trials * size_of(lambda: (self.stream.order(key), self.learner.init(key)))

    def operations(self, trials: int) -> int:
        self.check()
        key = jax.random.key(0)
        piece = lambda: self.stream.piece(self.stream.order(key), 0, self.every)  # noqa: E731
        streams = 1 + len(self.search.rates if self.search else ())
        return (
            streams
            * trials
            * self.pieces
            * operations(lambda: self.learner.adapt(self.learner.init(key), piece(), key))
        )

    def conduct(self, conditions: Conditions) -> None:
        learner = self._searched(conditions) if self.search else self.learner
        self._learn(learner, self.stream, conditions)
        scalars = {name: np.full(conditions.trials, value) for name, value in learner.scalars().items()}
        above = np.asarray([row["accuracy"] for row in conditions.recorder.rows()]) > ONSET
        seen = (np.asarray(conditions.recorder.recorded()) + 1.0) * self.every
        lost = ~np.isfinite(np.asarray([row["loss"] for row in conditions.recorder.rows()], float))
        first = lambda happens: np.where(happens.any(axis=0), seen[happens.argmax(axis=0)], np.nan)  # noqa: E731
        explosion = {"explosion": first(lost)} if lost.any() else {}
        conditions.recorder.finish(self.pieces, {**scalars, "onset": first(above), **explosion})

    def _learn(self, learner: PlasticLearner, stream: ImageStream, conditions: Conditions) -> None:
        """Learn the stream in all trials, and record the score after every piece."""

        def begin(key: Key[Array, ""]) -> tuple[Array, PyTree]:
            return stream.order(jax.random.split(key, 3)[0]), learner.init(jax.random.fold_in(key, 0))

        def one_trial(given, piece, before, key):
            learner, stream = given
            order, state = before
            _, query_key, learner_key = jax.random.split(key, 3)
            examples = stream.piece(order, piece * self.every, self.every)
            state = learner.adapt(state, examples, jax.random.fold_in(learner_key, piece))
            loss, metrics = learner.evaluate(state, stream.query(query_key))
            return (order, state), {"loss": loss, **metrics}

        given = join(*split(learner)), stream
        conduct_trials(conditions, one_trial, given, jax.vmap(begin)(conditions.keys()), self.pieces)

    def _searched(self, conditions: Conditions) -> PlasticLearner:
        """The learner with the rate that is best on the validation images, in trials of their own."""
        search = self.search
        assert search is not None
        others = replace(conditions, key=jax.random.fold_in(conditions.key, SEARCHING), progress=NoProgress())

        def score(rate: float) -> np.ndarray:
            recorder = MemoryRecorder()
            self._learn(with_rate(self.learner, rate), search.stream, replace(others, recorder=recorder))
            return np.mean([row["accuracy"] for row in recorder.rows()[-search.averaged :]], axis=0)

        found = conditions.recorder.once(lambda: {f"{rate:g}": score(rate) for rate in search.rates})
        scores = {rate: float(np.mean(found[f"{rate:g}"])) for rate in search.rates}
        best = best_of(search.rates, lambda rate: scores[rate])
        conditions.recorder.searched(
            Search(
                what="learning rate",
                values=list(search.rates),
                on=f"validation images ({search.stream.queries} of them, mean of the last {search.averaged} scores)",
                episodes=1,
                chosen=[best],
                scores=[list(scores.values())],
            )
        )
        return with_rate(self.learner, best)

    def printed(self) -> tuple[PrintedTerm, ...]:
        return self.learner.printed()
