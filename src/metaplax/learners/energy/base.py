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
        buffers: arrays of the network that are not minimised over, such as running statistics.
        minimiser: memory of the minimiser.
    """

    fast: PyTree
    buffers: PyTree
    minimiser: PyTree


class NudgedEnergy(eqx.Module):
    """The function that is minimised: ``E + beta * outer_loss(query)``.

    Attributes:
        learner: the learner that defines ``E`` and the outer loss.
        support: examples to learn from.
        query: examples that nudge, if there are any.
        beta: factor of the nudging: towards (positive) or away from (negative) the targets of the query set.
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
        """Memory before the first step."""

    @abstractmethod
    def minimise(self, energy: NudgedEnergy, state: EnergyState, key: Key[Array, ""], loop: Loop | None) -> EnergyState:
        """Minimise from where the state is.

        Args:
            energy: the function to minimise.
            state: where to start.
            key: randomness, such as the order of the examples.
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
            IncompatibleError: one sentence saying why that is impossible.
        """


class AbstractEnergyLearner(AbstractLearner):
    """Minimises ``E(fast) = inner_loss(support) + regulariser(fast)``; the outer loss is that of the query set.

    With ``beta`` the query set nudges: ``E + beta * outer_loss(query)`` is minimised in place of ``E``.

    Source: Zucchet et al. (2022), Eqs. 1 to 3.
    """

    minimiser: AbstractVar[AbstractMinimiser]

    @property
    def trains_network(self) -> bool:
        """Whether meta-parameters occur in the inner loss; if not, they occur in the regulariser only."""
        return False

    @property
    def descends_gradient(self) -> bool:
        """Whether ``direction`` is the gradient of the energy, so that its Jacobian is symmetric."""
        given, base = type(self), AbstractEnergyLearner
        return given.direction is base.direction and given.local_direction is base.local_direction

    @property
    def learns_direction(self) -> bool:
        """Whether there are meta-parameters in the direction that do not occur in the energy, as those of a rule."""
        return False

    @abstractmethod
    def begin(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        """Fast parameters and buffers before the first step."""

    @abstractmethod
    def regulariser(self, fast: PyTree) -> Float[Array, ""]:
        """The part of the energy that does not depend on the data."""

    @abstractmethod
    def inner_loss(
        self, fast: PyTree, buffers: PyTree, examples: PyTree, training: bool
    ) -> tuple[Float[Array, ""], PyTree]:
        """Loss over examples, and the buffers after that."""

    def outer_loss(
        self, fast: PyTree, buffers: PyTree, query: PyTree, training: bool
    ) -> tuple[Float[Array, ""], PyTree]:
        """Outer loss, and the buffers after that; by default the inner loss of the query set."""
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
        """``E + beta * outer_loss(query)`` with any sign of ``beta``, and the network's buffers after both."""
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
        """The direction against which a descent moves the fast parameters, and the buffers after that.

        The gradient of ``E + beta * outer_loss(query)``; or, if ``descends_gradient`` is false, ``local_direction``
        takes the place of the gradient of either loss. Implicit meta-gradients linearise the direction that is used.
        """
        if self.descends_gradient:
            return jax.grad(lambda fast: self.nudged_energy(fast, buffers, support, query, beta), has_aux=True)(fast)
        found, buffers = self.local_direction(fast, buffers, support, inner=True)
        found = jax.tree.map(jnp.add, found, jax.grad(self.regulariser)(fast))
        if query is not None:
            nudge, buffers = self.local_direction(fast, buffers, query, inner=False)
            found = jax.tree.map(lambda d, n: d + beta * n, found, nudge)
        return found, buffers

    def local_direction(self, fast: PyTree, buffers: PyTree, examples: PyTree, *, inner: bool) -> tuple[PyTree, PyTree]:
        """What a local rule gives for the gradient of a loss over examples, and the buffers after that.

        Args:
            fast: the fast parameters.
            buffers: buffers of the network, or of the rule.
            examples: the examples.
            inner: whether it is the inner loss, not the outer one.
        """
        raise NotImplementedError(f"{type(self).__name__} descends the gradient")

    def energy(self, state: EnergyState, support: PyTree) -> Float[Array, ""]:
        """``E`` on a whole support set, with the network's buffers as they are."""
        return self.nudged_energy(state.fast, state.buffers, support, training=False)[0]

    def init(self, key: Key[Array, ""]) -> EnergyState:
        fast, buffers = self.begin(key)
        return EnergyState(fast, buffers, self.minimiser.init(fast))

    def update(self, state: EnergyState, example: PyTree, key: Key[Array, ""]) -> EnergyState:
        """State after minimising on some more examples."""
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
            state: where to start.
            support: examples to learn from.
            key: randomness of the minimiser.
            query: examples that nudge.
            beta: factor of the nudging, see ``NudgedEnergy``.
            minimiser: by default that of the learner.
            loop: how to run the loop; by default a plain scan.
        """
        minimiser = minimiser or self.minimiser
        energy = NudgedEnergy(self, support, query, jnp.asarray(beta, jnp.result_type(float)))
        start = EnergyState(state.fast, state.buffers, minimiser.init(state.fast))
        return minimiser.minimise(energy, start, key, loop)

    def adapt(self, state: EnergyState, support: PyTree, key: Key[Array, ""], loop: Loop | None = None) -> EnergyState:
        return self.minimise(state, support, key, loop=loop)

    def check_unrolled(self) -> None:
        self.minimiser.check_unrolled()


def count(examples: PyTree) -> int:
    """How many examples there are."""
    return jax.tree.leaves(examples)[0].shape[0]


def sum_over(function, *trees: PyTree) -> Float[Array, ""]:
    """The sum of a function of corresponding numbers of trees of one structure."""
    return sum(jax.tree.leaves(jax.tree.map(lambda *leaves: jnp.sum(function(*leaves)), *trees)), start=jnp.zeros(()))
