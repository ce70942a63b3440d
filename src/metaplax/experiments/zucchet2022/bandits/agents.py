"""Agents without a model of their uncertainty: a random one, and one that trains a meta-learned network."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key, PyTree

from metaplax.experiments.zucchet2022.bandits.game import AbstractAgent, History
from metaplax.experiments.zucchet2022.bandits.wheel import ACTIONS, Action, Context
from metaplax.learners import AbstractNetworkLearner, EnergyState


class Uniform(AbstractAgent):
    """Takes actions at random."""

    every: int = 1

    def start(self, key: Key[Array, ""]) -> PyTree:
        return ()

    def act(self, state: PyTree, context: Context, key: Key[Array, ""]) -> Action:
        return jax.random.randint(key, (), 0, ACTIONS)


class NeuralGreedy(AbstractAgent):
    """Takes the action that a network predicts to be best, which is trained on the history from a meta-learned start.

    It minimises the energy of a learner on minibatches drawn with replacement from the history. Fast parameters and
    the optimiser keep their state during the whole game.

    Args:
        every: plays between trainings.
        learner: a meta-learned learner, which determines the start and the regulariser of the fast parameters.
        optimizer: optimiser of the fast parameters.
        steps: steps of every training.
        batch: plays per step.

    Source: Zucchet et al. (2022), section 5.5, and code.
    """

    every: int
    learner: AbstractNetworkLearner
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    steps: int = 250
    batch: int = 512

    def start(self, key: Key[Array, ""]) -> EnergyState:
        fast, buffers = self.learner.begin(key)
        return EnergyState(fast, buffers, self.optimizer.init(fast))

    def learn(self, state: EnergyState, history: History, key: Key[Array, ""]) -> EnergyState:
        def step(state: EnergyState, key: Key[Array, ""]) -> tuple[EnergyState, None]:
            direction, buffers = self.learner.direction(state.fast, state.buffers, history.minibatch(key, self.batch))
            updates, memory = self.optimizer.update(direction, state.minimiser, state.fast)
            return EnergyState(eqx.apply_updates(state.fast, updates), buffers, memory), None

        return jax.lax.scan(step, state, jax.random.split(key, self.steps))[0]

    def act(self, state: EnergyState, context: Context, key: Key[Array, ""]) -> Action:
        del key
        return jnp.argmax(self.learner.outputs(state.fast, state.buffers, context[None], training=False)[0][0])
