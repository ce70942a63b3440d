"""Inner loops that minimise an energy: what contrastive and implicit meta-gradients need."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import Array, Float, Key, PyTree

from metaplax.learners.base import AbstractLearner, Loop


class EnergyState(eqx.Module):
    """What changes while an energy is minimised.

    Attributes:
        fast: the parameters that are minimised over.
        buffers: running statistics of the network, if it has any.
        minimiser: what the minimiser remembers.
    """

    fast: PyTree
    buffers: PyTree
    minimiser: PyTree


class NudgedEnergy(eqx.Module):
    """What is minimised: ``E + beta * cost(query)``.

    Attributes:
        learner: whose energy it is.
        support: examples to learn from.
        query: examples that nudge, if there are any.
        beta: how much, and whether towards (positive) or away from (negative) their targets.
    """

    learner: "AbstractEnergyLearner"
    support: PyTree
    query: PyTree | None
    beta: Float[Array, ""]

    def __call__(self, fast: PyTree, buffers: PyTree, *, training: bool = True) -> tuple[Float[Array, ""], PyTree]:
        """Its value, and the network's buffers after that."""
        return self.learner.nudged_energy(fast, buffers, self.support, self.query, self.beta, training=training)

    def direction(self, fast: PyTree, buffers: PyTree) -> tuple[PyTree, PyTree]:
        """The direction to descend in, and the network's buffers after that."""
        return self.learner.direction(fast, buffers, self.support, self.query, self.beta)


class AbstractMinimiser(eqx.Module):
    """How an energy is minimised."""

    @abstractmethod
    def init(self, fast: PyTree) -> PyTree:
        """What it remembers before the first step."""

    @abstractmethod
    def minimise(self, energy: NudgedEnergy, state: EnergyState, key: Key[Array, ""], loop: Loop | None) -> EnergyState:
        """Minimise from where the state is.

        Args:
            energy: what to minimise.
            state: where to start.
            key: of anything random, such as the order of the examples.
            loop: how to run the loop, if there is one.
        """

    def check(self, support: int) -> None:
        """Refuse support sets of so many examples; by default none.

        Raises:
            IncompatibleError: one sentence saying what does not fit.
        """

    def check_unrolled(self) -> None:
        """Refuse to be differentiated in reverse step by step; by default not.

        Raises:
            IncompatibleError: one sentence saying why that cannot be.
        """


class AbstractEnergyLearner(AbstractLearner):
    """Minimises ``E(fast) = misfit(support) + charge(fast)``; the outer loss is the cost of the query set.

    With ``beta`` the query set nudges: ``E + beta * cost(query)`` is minimised in place of ``E``.

    Source: Zucchet et al. (2022), Eqs. 1 to 3.
    """

    minimiser: AbstractVar[AbstractMinimiser]

    @property
    def slow_in_network(self) -> bool:
        """Whether meta-parameters occur in the misfit; if not, they occur in the charge only."""
        return False

    @abstractmethod
    def begin(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        """Fast parameters and buffers before the first step."""

    @abstractmethod
    def regulariser(self, fast: PyTree) -> Float[Array, ""]:
        """What the fast parameters are charged, whatever the data."""

    @abstractmethod
    def inner_loss(
        self, fast: PyTree, buffers: PyTree, examples: PyTree, training: bool
    ) -> tuple[Float[Array, ""], PyTree]:
        """Loss over examples, and the buffers after that."""

    def outer_loss(
        self, fast: PyTree, buffers: PyTree, query: PyTree, training: bool
    ) -> tuple[Float[Array, ""], PyTree]:
        """Outer loss, and the buffers after that; by default the misfit of the query set."""
        return self.inner_loss(fast, buffers, query, training)

    def nudged_energy(
        self,
        fast: PyTree,
        buffers: PyTree,
        support: PyTree,
        query: PyTree | None = None,
        beta: Float[Array, ""] | float = 0.0,
        *,
        training: bool = True,
    ) -> tuple[Float[Array, ""], PyTree]:
        """``E + beta * cost(query)`` with any sign of ``beta``, and the network's buffers after both."""
        inner, buffers = self.inner_loss(fast, buffers, support, training)
        energy = inner + self.regulariser(fast)
        if query is None:
            return energy, buffers
        outer, buffers = self.outer_loss(fast, buffers, query, training)
        return energy + beta * outer, buffers

    def direction(
        self,
        fast: PyTree,
        buffers: PyTree,
        support: PyTree,
        query: PyTree | None = None,
        beta: Float[Array, ""] | float = 0.0,
    ) -> tuple[PyTree, PyTree]:
        """The direction in which a descent takes ``E + beta * cost(query)`` down, and the buffers after that.

        By default its derivative. A learner may give another direction, such as one that a local rule computes.
        """
        return jax.grad(lambda fast: self.nudged_energy(fast, buffers, support, query, beta), has_aux=True)(fast)

    def energy(self, state: EnergyState, support: PyTree) -> Float[Array, ""]:
        """``E`` on a whole support set, with the network's buffers as they are."""
        return self.nudged_energy(state.fast, state.buffers, support, training=False)[0]

    def init(self, key: Key[Array, ""]) -> EnergyState:
        fast, buffers = self.begin(key)
        return EnergyState(fast, buffers, self.minimiser.init(fast))

    def update(self, state: EnergyState, example: PyTree, key: Key[Array, ""]) -> EnergyState:
        """State after settling on some more examples."""
        return self.minimise(state, example, key)

    def minimise(
        self,
        state: EnergyState,
        support: PyTree,
        key: Key[Array, ""],
        *,
        query: PyTree | None = None,
        beta: Float[Array, ""] | float = 0.0,
        minimiser: AbstractMinimiser | None = None,
        loop: Loop | None = None,
    ) -> EnergyState:
        """Minimise from where the state is, with the minimiser started afresh.

        Args:
            state: where to start: warm if it has been settled before.
            support: examples to learn from.
            key: of anything random.
            query: examples that nudge.
            beta: how much, and whether towards (positive) or away from (negative) their targets.
            minimiser: how, if not as the learner itself does.
            loop: how to run the loop; by default a plain scan.
        """
        minimiser = minimiser or self.minimiser
        energy = NudgedEnergy(self, support, query, jnp.asarray(beta, jnp.result_type(float)))
        return minimiser.minimise(energy, EnergyState(state.fast, state.buffers, minimiser.init(state.fast)), key, loop)

    def adapt(self, state: EnergyState, support: PyTree, key: Key[Array, ""], loop: Loop | None = None) -> EnergyState:
        return self.minimise(state, support, key, loop=loop)

    def check_unrolled(self) -> None:
        self.minimiser.check_unrolled()

    def check_charged(self) -> None:
        """Refuse estimators that look at how the energy depends on the meta-parameters; by default not.

        Raises:
            IncompatibleError: one sentence saying that it does not depend on them.
        """


def count(examples: PyTree) -> int:
    """How many examples there are."""
    return jax.tree.leaves(examples)[0].shape[0]
