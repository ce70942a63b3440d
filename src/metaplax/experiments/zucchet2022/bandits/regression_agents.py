"""Agents with a Bayesian linear regression of the rewards of every action, on contexts or on learned features."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.experiments.zucchet2022.bandits.game import AbstractAgent, History
from metaplax.experiments.zucchet2022.bandits.posterior import Posterior, per_action, thompson_sample, update_action
from metaplax.experiments.zucchet2022.bandits.wheel import ACTIONS, Action, Context, Reward
from metaplax.networks import PartialSquaredError


class Regressions(eqx.Module):
    """Layers of a network, if there is one, and for every action a regression of its rewards on ``features``."""

    network: PyTree
    posteriors: Posterior


def features(network: PyTree, context: Context) -> Float[Array, " features"]:
    """Activity of the last hidden layer of a network; without one, an intercept and the context."""
    y = context if network else jnp.concatenate([jnp.ones_like(context[:1]), context])
    for layer in network[:-1]:
        y = jax.nn.relu(layer(y))
    return y


class AbstractRegressionAgent(AbstractAgent):
    """Updates the regressions after every play, and by default draws the best action from them."""

    def act(self, state: Regressions, context: Context, key: Key[Array, ""]) -> Action:
        return thompson_sample(state.posteriors, features(state.network, context), key)

    def observe(self, state: Regressions, context: Context, action: Action, reward: Reward) -> Regressions:
        posteriors = update_action(state.posteriors, action, features(state.network, context), reward)
        return Regressions(state.network, posteriors)


class LinFullPost(AbstractRegressionAgent):
    """Thompson sampling from regressions on contexts (Riquelme et al., 2018).

    Args:
        precision: precision of the prior of the weights.
        shape: shape of the inverse gamma prior of the noise variance.
        scale: scale of that prior.
    """

    every: int = eqx.field(default=1, init=False)
    precision: float = 0.25
    shape: float = 6.0
    scale: float = 6.0

    def start(self, key: Key[Array, ""]) -> Regressions:
        del key
        return Regressions((), per_action(Posterior.prior(3, self.precision, self.shape, self.scale)))


class LinGreedy(AbstractRegressionAgent):
    """Takes the best action according to ridge regressions on contexts, or a random one (Riquelme et al., 2018).

    Args:
        exploring: probability of a random action.
        precision: penalty of the ridge regression.
    """

    every: int = eqx.field(default=1, init=False)
    exploring: float = 0.05
    precision: float = 0.25

    def start(self, key: Key[Array, ""]) -> Regressions:
        del key
        # The posterior mean is the ridge regression, whatever the prior of the noise.
        return Regressions((), per_action(Posterior.prior(3, self.precision, 1.0, 1.0)))

    def act(self, state: Regressions, context: Context, key: Key[Array, ""]) -> Action:
        coin_key, action_key = jax.random.split(key)
        best = jnp.argmax(state.posteriors.mean @ features((), context))
        random = jax.random.randint(action_key, (), 0, ACTIONS)
        return jnp.where(jax.random.uniform(coin_key) < self.exploring, random, best)


class NeuralLinear(AbstractRegressionAgent):
    """Thompson sampling from regressions on the last hidden layer of a network (Riquelme et al., 2018).

    Every few plays the network is trained further, with a new optimiser state, and all regressions are fitted again to
    the whole history.

    Args:
        every: plays between trainings.
        width: neurons in each of the two hidden layers.
        steps: steps of every training.
        batch: plays per step, drawn with replacement.
        rate: learning rate of RMSprop, divided by ``1 + step / 2``.
        clip: largest norm of a gradient.
        precision: of the prior of the regressions, as for ``LinFullPost``; so are ``shape`` and ``scale``.

    Settings are those of Zucchet et al. (2022), code. (There, plays whose features are not all above zero are not
    counted in the shape, so that the noise is overestimated.)
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

    def start(self, key: Key[Array, ""]) -> Regressions:
        network = eqx.nn.MLP(2, ACTIONS, self.width, 2, key=key).layers
        return Regressions(network, per_action(Posterior.prior(self.width, self.precision, self.shape, self.scale)))

    def learn(self, state: Regressions, history: History, key: Key[Array, ""]) -> Regressions:
        rmsprop = optax.rmsprop(lambda step: self.rate / (1 + 0.5 * step))
        optimizer = optax.chain(optax.clip_by_global_norm(self.clip), rmsprop)

        def loss(network: PyTree, key: Key[Array, ""]) -> Float[Array, ""]:
            plays = history.minibatch(key, self.batch)
            outputs = jax.vmap(lambda context: network[-1](features(network, context)))(plays.x)
            return PartialSquaredError().loss(outputs, plays.y)

        def step(carry: tuple[PyTree, PyTree], key: Key[Array, ""]) -> tuple[tuple[PyTree, PyTree], None]:
            network, memory = carry
            updates, memory = optimizer.update(jax.grad(loss)(network, key), memory, network)
            return (eqx.apply_updates(network, updates), memory), None

        keys = jax.random.split(key, self.steps)
        network = jax.lax.scan(step, (state.network, optimizer.init(state.network)), keys)[0][0]
        return Regressions(network, self._fitted(network, history))

    def _fitted(self, network: PyTree, history: History) -> Posterior:
        """Regressions for all actions on the whole history, each play of which is visited once.

        The readout of the network is used as a guess of the regressions' weights.
        """
        played = jnp.arange(len(history.actions)) < history.count
        actions = jnp.where(played, history.actions, ACTIONS)
        by_action = jnp.argsort(actions, stable=True)
        first = jnp.searchsorted(actions[by_action], jnp.arange(ACTIONS + 1))

        def regression(action: Action) -> Posterior:
            def block(index: Int[Array, ""]) -> tuple[Array, Array, Array]:
                at = first[action] + index * self.batch + jnp.arange(self.batch)
                rows = by_action[jnp.minimum(at, len(actions) - 1)]
                x = jax.vmap(partial(features, network))(history.contexts[rows])
                return x, history.rewards[rows], (at < first[action + 1]).astype(x.dtype)

            blocks = -(-(first[action + 1] - first[action]) // self.batch)
            return Posterior.fit(block, blocks, network[-1].weight[action], self.precision, self.shape, self.scale)

        return jax.lax.map(regression, jnp.arange(ACTIONS))
