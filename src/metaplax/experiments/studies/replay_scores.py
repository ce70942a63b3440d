"""Scores a rule that was inferred on recorded experiments which it was not inferred from."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from metaplax.experiments.base import Conditions
from metaplax.experiments.studies.learned import AbstractLearnedStudy
from metaplax.experiments.studies.trials import conduct_trials
from metaplax.inference import explained, misfit, pooled_r2, replay
from metaplax.learners import PlasticLearner
from metaplax.tasks import Simulations
from metaplax.training import trial_learner


@dataclass(frozen=True)
class ReplayScores(AbstractLearnedStudy):
    """Simulated experiments that the rule was not inferred from, replayed by it and by the rule that made them.

    Attributes:
        task: the simulated experiments; they come with their initial weights.
        teacher: the learner that made them.
    """

    learner: PlasticLearner
    task: Simulations
    teacher: PlasticLearner

    @property
    def steps(self) -> int:
        return 1

    def conduct(self, conditions: Conditions) -> None:
        def one_trial(given, index, parameters, key):
            del index
            start, task, teacher = given
            learner = trial_learner(start, parameters, key, resample=True)

            def score(number):
                episode = task.at(number)
                truth, found = replay(teacher, episode), replay(learner, episode)
                valid = ~jnp.all(jnp.isnan(episode.support.y), axis=-1)[:, None]
                # Behind the plastic synapses, at steps that are part of the experiment.
                seen = jnp.where(valid, truth.activity[0], jnp.nan)
                return {
                    "loss": misfit(learner, episode),
                    "explained": explained(learner, episode),
                    "r2_weights": pooled_r2(truth.weights[0], found.weights[0]),
                    "r2_activity": pooled_r2(seen, found.activity[0]),
                }

            found = jax.lax.map(score, jnp.arange(task.count))
            return parameters, {name: jnp.mean(values) for name, values in found.items()}

        given = (self.learner, self.task, self.teacher)
        conduct_trials(conditions, one_trial, given, self.learned(conditions), 1)
        conditions.recorder.finish(1, {})
