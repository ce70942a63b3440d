"""Measures how one network learns one long stream by a given rule, without meta-training."""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Key, PyTree

from metaplax.experiments.base import AbstractStudy, Conditions
from metaplax.experiments.operations import operations
from metaplax.experiments.studies.trials import conduct_trials, size_of
from metaplax.learners import AbstractLearner, join, split
from metaplax.plasticity import PrintedTerm
from metaplax.runs import fingerprint
from metaplax.tasks import Episode, ImageStream

ONSET = 0.25
"""Accuracy above which a network has begun to learn; the number of images until then is recorded, NaN if never.

So is the number of images until the loss was not finite, if that happens in any trial."""


@dataclass(frozen=True)
class OnlineLearning(AbstractStudy):
    """A learner sees a stream once, image by image, and is scored every so often.

    Attributes:
        learner: network and rule.
        stream: images.
        every: images between two scores.
        pieces: number of scores.
    """

    learner: AbstractLearner
    stream: ImageStream
    every: int
    pieces: int

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
        return trials * self.pieces * operations(lambda: self.learner.adapt(self.learner.init(key), piece(), key))

    def conduct(self, conditions: Conditions) -> None:
        learner = join(*split(self.learner))

        def begin(key: Key[Array, ""]) -> tuple[Array, PyTree]:
            return self.stream.order(jax.random.split(key, 3)[0]), learner.init(jax.random.fold_in(key, 0))

        def one_trial(given, piece, before, key):
            learner, stream = given
            order, state = before
            _, query_key, learner_key = jax.random.split(key, 3)
            examples = stream.piece(order, piece * self.every, self.every)
            state = learner.adapt(state, examples, jax.random.fold_in(learner_key, piece))
            loss, metrics = learner.evaluate(state, stream.query(query_key))
            return (order, state), {"loss": loss, **metrics}

        conduct_trials(conditions, one_trial, (learner, self.stream), jax.vmap(begin)(conditions.keys()), self.pieces)
        scalars = {name: np.full(conditions.trials, value) for name, value in learner.scalars().items()}
        above = np.asarray([row["accuracy"] for row in conditions.recorder.rows()]) > ONSET
        seen = (np.asarray(conditions.recorder.recorded()) + 1.0) * self.every
        lost = ~np.isfinite(np.asarray([row["loss"] for row in conditions.recorder.rows()], float))
        first = lambda happens: np.where(happens.any(axis=0), seen[happens.argmax(axis=0)], np.nan)  # noqa: E731
        explosion = {"explosion": first(lost)} if lost.any() else {}
        conditions.recorder.finish(self.pieces, {**scalars, "onset": first(above), **explosion})

    def printed(self) -> tuple[PrintedTerm, ...]:
        return self.learner.printed()
