"""An exact meta-gradient through trials of a recurrent rate network that learns from one reward per trial."""

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp

import metaplax as mp
from benchmarks.cases.base import AbstractSingleStep, Run
from metaplax.estimators import AbstractEstimator, Checkpointed, Reversible
from metaplax.learners import PlasticLearner
from metaplax.networks import Dense, Recurrent, Sequential, SquaredError
from metaplax.plasticity import Eligibility, Hebb, Rule, shared
from metaplax.tasks import Episode, Examples

INPUTS, QUERIES = 3, 4


@dataclass(frozen=True)
class RewardGatedMetaStep(AbstractSingleStep):
    """A rate network whose recurrent and input synapses have an eligibility trace that waits for the reward.

    The coefficient of the rule and the time constant of the trace are meta-learned.

    Attributes:
        neurons: recurrent neurons.
        time: steps of a trial.
        trials: to learn from.
        estimator: of the meta-gradient.
    """

    neurons: int = 200
    time: int = 300
    trials: int = 20
    estimator: AbstractEstimator = field(default_factory=Reversible)

    def learner(self) -> PlasticLearner:
        """The learner, at the start of meta-training."""
        network = Sequential(Recurrent(INPUTS, self.neurons, tau=10.0), Dense(self.neurons, 1), readout=SquaredError())
        rule = Rule((Eligibility(Hebb(), tau=50.0),), shared([1e-5]), ((True,), (True,), (False,)))
        return PlasticLearner(network, rule, modulator=mp.modulators.RewardPrediction(tau=5.0), scored=50)

    def episode(self) -> Episode:
        """Random input, and a target for the end of every trial."""
        parts = []
        for count, key in ((self.trials, 1), (QUERIES, 2)):
            x_key, y_key = jax.random.split(jax.random.key(key))
            x = jax.random.normal(x_key, (count, self.time, INPUTS))
            parts.append(Examples(x, jnp.sign(jax.random.normal(y_key, (count, 1)))))
        return Episode(*parts)

    def key(self) -> jax.Array:
        """Randomness of the initial weights."""
        return jax.random.key(0)

    def compiled(self, steps: int) -> Run:
        del steps
        learner, key = self.learner(), self.key()
        gradient = jax.jit(lambda episode: self.estimator.value_and_grad(learner, episode, key))
        return partial(lambda episode: jax.block_until_ready(gradient(episode)), self.episode())


REWARD_STEPS = {
    "reward-meta-step": RewardGatedMetaStep(),
    "reward-meta-step-checkpointed": RewardGatedMetaStep(estimator=Checkpointed()),
}
"""By the name that ``python -m benchmarks steps`` knows them by."""
