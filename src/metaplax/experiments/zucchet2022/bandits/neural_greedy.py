"""An agent whose network is trained on the history, from a meta-learned start; it takes the best predicted action."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.experiments.zucchet2022.bandits.agents import AbstractAgent, History
from metaplax.learners import AbstractNetworkLearner


class GreedyState(eqx.Module):
    """Fast parameters and buffers of the learner, and the state of the optimiser."""

    fast: PyTree
    buffers: PyTree
    optimizer: PyTree


class NeuralGreedy(AbstractAgent):
    """Minimises the energy of a learner on minibatches drawn with replacement from the history.

    Fast parameters and the optimiser keep their state during the whole game.

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

    def start(self, key: Key[Array, ""]) -> GreedyState:
        fast, buffers = self.learner.begin(key)
        return GreedyState(fast, buffers, self.optimizer.init(fast))

    def learn(self, state: GreedyState, history: History, key: Key[Array, ""]) -> GreedyState:
        def step(state: GreedyState, key: Key[Array, ""]) -> tuple[GreedyState, None]:
            direction, buffers = self.learner.direction(state.fast, state.buffers, history.minibatch(key, self.batch))
            updates, memory = self.optimizer.update(direction, state.optimizer, state.fast)
            return GreedyState(eqx.apply_updates(state.fast, updates), buffers, memory), None

        return jax.lax.scan(step, state, jax.random.split(key, self.steps))[0]

    def act(self, state: GreedyState, context: Float[Array, "2"], key: Key[Array, ""]) -> Int[Array, ""]:
        del key
        return jnp.argmax(self.learner.outputs(state.fast, state.buffers, context[None], training=False)[0][0])
