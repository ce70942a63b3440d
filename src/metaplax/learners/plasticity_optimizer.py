"""A plasticity rule in the place of an Optax optimiser: it makes updates of weights that you keep yourself."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Key, Num, PyTree

from metaplax.feedback import AbstractFeedback, RandomFixed
from metaplax.learners.base import IncompatibleError
from metaplax.learners.examples import check_targets
from metaplax.learners.online_plasticity import OnlinePlasticity, PlasticState
from metaplax.networks import MLP, Weights
from metaplax.plasticity import Rule
from metaplax.tasks import Episode, Examples


# Neither a pytree nor equal to any other: that is why its methods have a hash and go through `jax.jit`.
@dataclass(frozen=True, eq=False)
class PlasticityOptimizer:
    """``init`` and ``update`` as in Optax, with one example in the place of a gradient.

    Both are pure functions that can be compiled, mapped and differentiated, e.g. ``jax.jit(optimizer.update)``.
    Made by ``plasticity_optimizer``.
    """

    learner: OnlinePlasticity

    def init(self, weights: Weights, key: Key[Array, ""]) -> PyTree:
        """State of the feedback pathway before the first example.

        Args:
            weights: ``L`` matrices of shape ``(sizes[l], sizes[l - 1])``.
            key: randomness of the feedback weights.

        Raises:
            IncompatibleError: the weights, or the rule's coefficients, are not those of a network of these sizes.
        """
        network = self.learner.network
        expected = list(zip(network.sizes[1:], network.sizes[:-1], strict=True))
        if (shapes := [weight.shape for weight in weights]) != expected:
            raise IncompatibleError(f"a network of sizes {network.sizes} has no weights of shapes {shapes}")
        self.learner.check(jax.eval_shape(self._episode))
        return self.learner.feedback.init(key, network)

    def update(
        self, x: Float[Array, " n_0"], y: Num[Array, "..."] | int, state: PyTree, weights: Weights
    ) -> tuple[Weights, PyTree]:
        """The changes of the weights after one example.

        Args:
            x: input of shape ``(sizes[0],)``.
            y: target of the example: its class, or numbers of shape ``(sizes[-1],)`` if the readout takes numbers.
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
        outputs = network.sizes[-1]
        check_targets("training", y, network.readout, outputs, ())
        is_class = network.readout.takes == "classes" and not isinstance(y, Tracer)
        if is_class and not 0 <= int(y) < outputs:
            raise IncompatibleError(f"the class is {int(y)}, but the network has outputs for 0 to {outputs - 1}")

    def _episode(self) -> Episode:
        """One example to learn from and one to be scored on."""
        network = self.learner.network
        dtype = jnp.int32 if network.readout.takes == "classes" else jnp.result_type(float)
        target = jnp.zeros((1, *network.readout.target_shape(network.sizes[-1])), dtype)
        examples = Examples(jnp.zeros((1, network.sizes[0])), target)
        return Episode(examples, examples)


def plasticity_optimizer(network: MLP, rule: Rule, feedback: AbstractFeedback | None = None) -> PlasticityOptimizer:
    """A plasticity rule as an optimiser of a network's weights, one example at a time.

    Args:
        network: the network; ``from_equinox`` makes one from an ``equinox.nn.MLP``.
        rule: the plasticity rule, e.g. ``metaplax.rules.load("shervani2023/f_bio")``.
        feedback: the feedback pathway, by default ``RandomFixed``.

    Source: Shervani-Tabar & Rosenbaum (2023), the inner loop of Algorithm 1.
    """
    return PlasticityOptimizer(OnlinePlasticity(network, rule, RandomFixed() if feedback is None else feedback))
