"""An agent with Bayesian linear regressions on features that a network learns."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.experiments.zucchet2022.bandits.agents import AbstractAgent, History
from metaplax.experiments.zucchet2022.bandits.posterior import Posterior, per_action, thompson_sample, update_action
from metaplax.experiments.zucchet2022.bandits.wheel import ACTIONS
from metaplax.networks import PartialSquaredError


class NeuralLinearState(eqx.Module):
    """Parameters of the network, and for every action a regression of its rewards on the features of the network."""

    network: PyTree
    posteriors: Posterior


class NeuralLinear(AbstractAgent):
    """Thompson sampling from Bayesian linear regressions on the last hidden layer of a network.

    Every few plays the network is trained further, with a new optimiser state, and all regressions are fitted again to
    the whole history.

    Args:
        every: plays between trainings.
        width: neurons in each of the two hidden layers.
        steps: steps of every training.
        batch: plays per step, drawn with replacement.
        rate: learning rate of RMSprop, divided by ``1 + step / 2``.
        clip: largest norm of a gradient.
        precision: precision of the prior of the regressions' weights.
        shape: shape of the inverse gamma prior of the noise variance.
        scale: scale of that prior.

    Source: Riquelme et al. (2018); settings of Zucchet et al. (2022), code. (There, plays whose features are not all
    above zero are not counted in the shape, so that the noise is overestimated.)
    """

    every: int = 20
    width: int = 100
    steps: int = 50
    batch: int = 512
    rate: float = 0.01
    clip: float = 5.0
    precision: float = 23.0
    shape: float = 12.0
    scale: float = 30.0

    def start(self, key: Key[Array, ""]) -> NeuralLinearState:
        network = eqx.nn.MLP(2, ACTIONS, self.width, 2, key=key)
        prior = Posterior.prior(self.width, self.precision, self.shape, self.scale)
        return NeuralLinearState(eqx.filter(network, eqx.is_inexact_array), per_action(prior))

    def learn(self, state: NeuralLinearState, history: History, key: Key[Array, ""]) -> NeuralLinearState:
        optimizer = optax.chain(
            optax.clip_by_global_norm(self.clip), optax.rmsprop(lambda step: self.rate / (1 + 0.5 * step))
        )

        def loss(network: PyTree, key: Key[Array, ""]) -> Float[Array, ""]:
            plays = history.minibatch(key, self.batch)
            return PartialSquaredError().loss(jax.vmap(self._whole(network))(plays.x), plays.y)

        def step(carry, key):
            network, memory = carry
            updates, memory = optimizer.update(jax.grad(loss)(network, key), memory, network)
            return (eqx.apply_updates(network, updates), memory), None

        keys = jax.random.split(key, self.steps)
        network = jax.lax.scan(step, (state.network, optimizer.init(state.network)), keys)[0][0]
        return NeuralLinearState(network, self._regressions(network, history))

    def _regressions(self, network: PyTree, history: History) -> Posterior:
        """Regressions for all actions on the whole history, each play of which is visited once.

        The readout of the network is used as a guess of the regressions' weights.
        """
        played = jnp.arange(len(history.actions)) < history.count
        actions = jnp.where(played, history.actions, ACTIONS)
        by_action = jnp.argsort(actions, stable=True)
        first = jnp.searchsorted(actions[by_action], jnp.arange(ACTIONS + 1))

        def regression(action: Int[Array, ""]) -> Posterior:
            def block(index: Int[Array, ""]) -> tuple[Array, Array, Array]:
                at = first[action] + index * self.batch + jnp.arange(self.batch)
                rows = by_action[jnp.minimum(at, len(actions) - 1)]
                x = jax.vmap(lambda context: self._features(network, context))(history.contexts[rows])
                return x, history.rewards[rows], (at < first[action + 1]).astype(x.dtype)

            blocks = -(-(first[action + 1] - first[action]) // self.batch)
            guess = self._whole(network).layers[-1].weight[action]
            return Posterior.fit(block, blocks, guess, self.precision, self.shape, self.scale)

        return jax.lax.map(regression, jnp.arange(ACTIONS))

    def act(self, state: NeuralLinearState, context: Float[Array, "2"], key: Key[Array, ""]) -> Int[Array, ""]:
        return thompson_sample(state.posteriors, self._features(state.network, context), key)

    def observe(
        self, state: NeuralLinearState, context: Float[Array, "2"], action: Int[Array, ""], reward: Float[Array, ""]
    ) -> NeuralLinearState:
        features = self._features(state.network, context)
        return NeuralLinearState(state.network, update_action(state.posteriors, action, features, reward))

    def _whole(self, network: PyTree) -> eqx.nn.MLP:
        """The network, given its parameters."""
        shapes = eqx.filter_eval_shape(lambda key: eqx.nn.MLP(2, ACTIONS, self.width, 2, key=key), jax.random.key(0))
        return eqx.combine(network, eqx.filter(shapes, lambda leaf: not isinstance(leaf, jax.ShapeDtypeStruct)))

    def _features(self, network: PyTree, context: Float[Array, "2"]) -> Float[Array, " width"]:
        y = context
        for layer in self._whole(network).layers[:-1]:
            y = jax.nn.relu(layer(y))
        return y
