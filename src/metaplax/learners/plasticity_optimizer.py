"""A plasticity rule in the place of an Optax optimiser: it makes updates of weights that you keep yourself."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Key, Num, PyTree

from metaplax.feedback import AbstractFeedback, RandomFixed
from metaplax.learners.base import IncompatibleError
from metaplax.learners.examples import check_targets
from metaplax.learners.online_plasticity import OnlinePlasticity
from metaplax.learners.plastic_learner import PlasticLearner, PlasticState
from metaplax.networks import AbstractPlasticNetwork, Weights
from metaplax.plasticity import Rule
from metaplax.tasks import Episode, Examples


# Neither a pytree nor equal to any other: that is why its methods have a hash and go through `jax.jit`.
@dataclass(frozen=True, eq=False)
class PlasticityOptimizer:
    """``init`` and ``update`` as in Optax, with one example in the place of a gradient.

    Both are pure functions that can be compiled, mapped and differentiated, e.g. ``jax.jit(optimizer.update)``.
    Made by ``plasticity_optimizer``.
    """

    learner: PlasticLearner

    def init(self, weights: Weights, key: Key[Array, ""]) -> PyTree:
        """State of the feedback pathway before the first example.

        Args:
            weights: one matrix per connection, of the shapes ``network.shapes``.
            key: randomness of the feedback weights.

        Raises:
            IncompatibleError: the weights, or the rule's coefficients, are not those of the network; the network has
                time; or the rule or the pathway has a memory.
        """
        network = self.learner.network
        if network.has_time:
            raise IncompatibleError("an optimiser is given one example at a time, but this network takes sequences")
        if (shapes := tuple(weight.shape for weight in weights)) != network.shapes:
            raise IncompatibleError(
                f"the weights have shapes {network.shapes}: there are no weights of shapes {shapes}"
            )
        start = jax.eval_shape(self.learner.init, key)
        if jax.tree.leaves((start.memory, start.pathway)):
            raise IncompatibleError("an optimiser keeps no memory of a rule or a pathway: use PlasticLearner.update")
        self.learner.check(jax.eval_shape(self._episode))
        return self.learner.feedback.init(key, network)

    def update(
        self, x: Float[Array, "..."], y: Num[Array, "..."] | int, state: PyTree, weights: Weights
    ) -> tuple[Weights, PyTree]:
        """The changes of the weights after one example.

        Args:
            x: input, of the shape of the network's first population.
            y: target of the example: its class, or one number per output if the readout takes numbers.
            state: of the feedback pathway, from ``init`` or the last update.
            weights: as in ``init``.

        Returns:
            the updates, to be added to the weights by ``optax.apply_updates`` or ``eqx.apply_updates``, and the
            next state. The sum is what ``OnlinePlasticity.update`` gives, to within the rounding of the
            larger of the weight before and the weight after.

        Raises:
            IncompatibleError: the target is not one that the readout takes, such as a one-hot vector in place of a
                class, or its class is not one of the outputs (which is not seen inside of compiled code).
        """
        target = jnp.asarray(y)
        self._check_target(target)
        # The key has no effect: plasticity draws nothing after the start.
        before, example = PlasticState(weights, state), Examples(x, target)
        after = self.learner.update(before, example, jax.random.key(0))
        # As a difference, and not as the sum of the rule's terms, it is nearer to the order in which they are added.
        return jax.tree.map(jnp.subtract, after.weights, weights), after.feedback

    def _check_target(self, y: Array) -> None:
        network = self.learner.network
        outputs = network.outputs
        check_targets("training", y, network.readout, outputs, ())
        is_class = network.readout.takes == "classes" and not isinstance(y, Tracer)
        if is_class and not 0 <= int(y) < outputs:
            raise IncompatibleError(f"the class is {int(y)}, but the network has outputs for 0 to {outputs - 1}")

    def _episode(self) -> Episode:
        """One example to learn from and one to be scored on."""
        network = self.learner.network
        dtype = jnp.int32 if network.readout.takes == "classes" else jnp.result_type(float)
        target = jnp.zeros((1, *network.readout.target_shape(network.outputs)), dtype)
        examples = Examples(jnp.zeros((1, *network.populations[0].shape)), target)
        return Episode(examples, examples)


def plasticity_optimizer(
    network: AbstractPlasticNetwork, rule: Rule, feedback: AbstractFeedback | None = None
) -> PlasticityOptimizer:
    """A plasticity rule as an optimiser of a network's weights, one example at a time.

    Args:
        network: a network without time; ``from_equinox`` makes one from an Equinox module.
        rule: the plasticity rule, e.g. ``metaplax.rules.load("shervani2023/f_bio")``.
        feedback: the feedback pathway, by default ``RandomFixed``.

    Source: Shervani-Tabar & Rosenbaum (2023), the inner loop of Algorithm 1.
    """
    return PlasticityOptimizer(OnlinePlasticity(network, rule, RandomFixed() if feedback is None else feedback))
