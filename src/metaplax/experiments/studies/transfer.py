"""Scores a meta-trained learner, as it is, on another task or in another network."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from metaplax.experiments.base import Conditions
from metaplax.experiments.studies.learned import AbstractLearnedStudy
from metaplax.experiments.studies.trials import best_of, compiled
from metaplax.runs.schema import Search
from metaplax.tasks import AbstractTask
from metaplax.training import trial_learner

TUNING = 1 << 20
"""Index of the first episode that learning rates are tuned on, far from those that are scored."""


@dataclass(frozen=True)
class Transfer(AbstractLearnedStudy):
    """Scores what was meta-learned, as it is, on episodes of another task.

    Attributes:
        episodes: number of episodes to score.
        factors: if there are several, all parameters are multiplied by the one of them that is best on average on
            other episodes: the learning rate is tuned.
        tuning_episodes: number of such episodes per factor and trial.
        tuning_task: distribution of these episodes; by default other episodes of the same task.
    """

    episodes: int
    factors: tuple[float, ...] = (1.0,)
    tuning_episodes: int = 2
    tuning_task: AbstractTask | None = None

    @property
    def steps(self) -> int:
        return self.episodes

    def conduct(self, conditions: Conditions) -> None:
        def one_trial(given, index, parameters, key):
            learner, task = given
            task_key, learner_key = jax.random.split(jax.random.fold_in(key, index))
            loss, metrics = trial_learner(learner, parameters, key, resample=True).run(
                task.sample(task_key), learner_key
            )
            return parameters, {"loss": loss, **metrics}

        def multiplied(factor: float) -> PyTree:
            return jax.tree.map(lambda leaf: factor * leaf, learned)

        def score(factor: float) -> float:
            parameters = conditions.layout.pad(multiplied(factor))
            found = [tuning_step(TUNING + index, parameters)[1]["accuracy"] for index in range(self.tuning_episodes)]
            scores[factor] = float(jnp.mean(jnp.nan_to_num(jnp.stack(found))))
            return scores[factor]

        learned = self.learned(conditions)
        scores: dict[float, float] = {}
        keys, padded = conditions.keys(), conditions.layout.pad(learned)
        step = tuning_step = compiled(one_trial, self.given, keys, padded)
        if self.tuning_task is not None and len(self.factors) > 1:
            tuning_step = compiled(one_trial, (self.learner, self.tuning_task), keys, padded)
        factor = best_of(self.factors, score)
        if scores:
            conditions.recorder.searched(
                Search(
                    what="factor of the learning rate",
                    values=list(self.factors),
                    on="other classes than those that are scored"
                    if self.tuning_task
                    else "other episodes of the same task",
                    episodes=self.tuning_episodes,
                    scores=[[scores[tried] for tried in self.factors]],
                    chosen=[factor],
                )
            )
        conditions.run_steps(lambda _: step, multiplied(factor), self.episodes, padded=True)
        conditions.recorder.finish(self.episodes, {"factor": np.full(conditions.trials, factor)})
