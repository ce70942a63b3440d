"""A local rule as the direction in which an energy learner descends, in place of the gradient of its loss."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PyTree, UInt32

from metaplax.feedback import AbstractFeedback, RandomFixed
from metaplax.feedback.base import forward
from metaplax.learners.base import Metrics
from metaplax.learners.plastic_learner import PlasticLearner, PlasticState
from metaplax.networks import AbstractPlasticNetwork, PlasticFunction, Weights
from metaplax.plasticity import Rule
from metaplax.plasticity.updates import merge
from metaplax.tasks import Examples


class PathwayState(eqx.Module):
    """The feedback pathway during one episode.

    Attributes:
        weights: of the pathway, as drawn for the episode; ``None`` if meta-learned arrays take part in them, which are
            then asked for at every step, so that estimators see them there.
        seed: randomness of the episode.
        step: how often the rule was asked; noise is different every time.
    """

    weights: PyTree
    seed: UInt32[Array, ""]
    step: Int[Array, ""]


class LocalRule(eqx.Module):
    """The direction in which an energy learner descends: what a plasticity rule does, taught by a feedback pathway.

    It is the negative of the weight change that the rule asks for, as a mean over the examples. For a sequence it is
    that of the whole sequence, the sum over its steps. With ``PseudoGradient``, ``Symmetric`` feedback and a readout
    whose error is the derivative of its loss it is the gradient of the inner loss in every network without time.
    The arrays of the rule and of the pathway are meta-parameters of the learner. Feedback weights are drawn at the
    start of an episode and do not change within it, or are meta-learned (``Learned``).

    Args:
        rule: the plasticity rule.
        feedback: the feedback pathway; by default ``RandomFixed``.
    """

    rule: Rule
    feedback: AbstractFeedback

    def __init__(self, rule: Rule, feedback: AbstractFeedback | None = None):
        self.rule, self.feedback = rule, RandomFixed() if feedback is None else feedback

    def drawn(self, key: Key[Array, ""], network: AbstractPlasticNetwork, *, only_missing: bool = False) -> "LocalRule":
        """The same, with the meta-learned weights of the pathway drawn anew; see ``AbstractFeedback.drawn``."""
        return LocalRule(self.rule, self.feedback.drawn(key, network, only_missing=only_missing))

    def init(self, key: Key[Array, ""], network: AbstractPlasticNetwork) -> PathwayState:
        """The pathway at the start of an episode."""
        seed = jax.random.bits(key, dtype=jnp.uint32)
        is_learned = bool(jax.tree.leaves(eqx.filter(self.feedback, eqx.is_inexact_array)))
        weights = None if is_learned else self.feedback.init(jax.random.key(seed), network)
        return PathwayState(weights, seed, jnp.int32(0))

    def __call__(
        self, network: PlasticFunction, weights: Weights, pathway: PathwayState, examples: Examples
    ) -> tuple[Weights, PathwayState]:
        """The direction on a batch, and the pathway after that.

        Args:
            network: the network.
            weights: its weights.
            pathway: as ``init`` or the last call left it.
            examples: the batch.
        """
        learner, key = self._learner(network), jax.random.key(pathway.seed)
        told = self.feedback.init(key, network.network) if pathway.weights is None else pathway.weights
        step_key = jax.random.fold_in(key, pathway.step)
        changes = learner.updates(PlasticState(network.effective(weights), told), examples, step_key).weights
        count = examples.x.shape[0]
        asked = [
            sum((u.dense(weight) for u in merge(updates)), start=jnp.zeros_like(weight))
            for weight, updates in zip(weights, changes, strict=True)
        ]
        after = PathwayState(pathway.weights, pathway.seed, pathway.step + 1)
        return tuple(-change / count for change in asked), after

    def scalars(self) -> Metrics:
        """Meta-learned numbers of the rule and the pathway, by name."""
        return self.rule.scalars() | self.feedback.scalars()

    def refuse(self, network: PlasticFunction) -> None:
        """Refuse what cannot be a direction: it must be a function of the weights and the examples alone.

        Raises:
            ValueError: the rule remembers something from one batch to the next, or the pathway does, or it changes
                within an episode or looks ahead.
        """
        learner, name = self._learner(network), type(self.feedback).__name__
        if jax.tree.leaves(jax.eval_shape(lambda: learner.init(jax.random.key(0)).memory)):
            hint = "" if network.network.has_time else ", as all memory does in a network without time"
            raise ValueError(
                f"the rule has memory that lasts from one example to the next{hint}, so that it gives no direction that"
                " depends on weights and examples alone: use PlasticLearner"
            )
        if self.feedback.looks_ahead:
            raise ValueError(f"{name} waits for the weights at the end of an episode, which a direction does not have")
        state = jax.eval_shape(lambda: self.feedback.init(jax.random.key(0), network.network))
        unchanged = forward(network.network, tuple(() for _ in network.network.connections))
        if jax.tree.leaves(jax.eval_shape(lambda state: self.feedback.learn(state, unchanged), state)):
            raise ValueError(
                f"{name} changes along with the weights, but feedback in a direction of descent stays as it is within"
                " an episode: use RandomFixed or Learned, or PlasticLearner"
            )

    def _learner(self, network: PlasticFunction) -> PlasticLearner:
        """Who asks the rule: the updates of this learner are the changes that the rule wants."""
        return PlasticLearner(network.network, self.rule, self.feedback, scored=network.scored, minibatch=True)
