"""A meta-learned network that is trained on what is seen, and always takes what it thinks is best."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.experiments.zucchet2022.bandits.agents import AbstractAgent, Seen
from metaplax.learners import AbstractNetworkLearner


class GreedyState(eqx.Module):
    """Fast parameters of the learner, and what the optimiser remembers."""

    fast: PyTree
    buffers: PyTree
    optimizer: PyTree


class NeuralGreedy(AbstractAgent):
    """Descends the energy of a learner on trials drawn with replacement from all it has seen.

    Neither fast parameters nor the optimiser ever start afresh.

    Args:
        every: trials between trainings.
        learner: whose fast parameters are trained, from where they start, under the charge that its meta-parameters
            make.
        optimizer: of the descent.
        steps: of every training.
        batch: trials per step.

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

    def learn(self, state: GreedyState, seen: Seen, key: Key[Array, ""]) -> GreedyState:
        def step(state: GreedyState, key: Key[Array, ""]) -> tuple[GreedyState, None]:
            slope, buffers = self.learner.direction(state.fast, state.buffers, seen.some(key, self.batch))
            updates, memory = self.optimizer.update(slope, state.optimizer, state.fast)
            return GreedyState(eqx.apply_updates(state.fast, updates), buffers, memory), None

        return jax.lax.scan(step, state, jax.random.split(key, self.steps))[0]

    def act(self, state: GreedyState, context: Float[Array, "2"], key: Key[Array, ""]) -> Int[Array, ""]:
        del key
        return jnp.argmax(self.learner.outputs(state.fast, state.buffers, context[None], training=False)[0][0])
