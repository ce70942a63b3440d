"""How an energy is minimised: which optimiser, how many steps, on which examples."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.learners.base import AbstractInnerStep, IncompatibleError, Loop, plain_loop
from metaplax.learners.energy.base import AbstractMinimiser, EnergyState, NudgedEnergy, count
from metaplax.learners.energy.smooth_roots import with_smooth_roots


class DescentState(eqx.Module):
    """State of the optimiser, and the Euclidean norm of the last direction if there is a tolerance."""

    optimizer: PyTree
    norm: Float[Array, ""]


class Descent(AbstractMinimiser):
    """Gradient descent by an optax optimiser, for so many steps or until the gradient is small.

    Args:
        optimizer: any optax optimiser.
        steps: how many, or at most how many if there is a tolerance.
        batch: examples per step: the support set in a new random order in every epoch, the query set in a fixed one;
            what is left over at the end of an epoch is not used. By default all examples in every step.
        tolerance: stop as soon as the Euclidean norm of the gradient is below it; only with all examples in every
            step. By default all steps are taken.
        rate: factor of the updates: the learning rate, for an optimiser whose own is one. Unlike that, it is an
            argument of compiled programs, so another rate compiles nothing.

    Raises:
        ValueError: a number is below one, the tolerance is negative, or both batch and tolerance are given.
    """

    optimizer: optax.GradientTransformation = eqx.field(static=True)
    steps: int
    batch: int | None = None
    tolerance: float = 0.0
    rate: float = 1.0

    def __check_init__(self):
        if self.steps < 1 or (self.batch is not None and self.batch < 1):
            raise ValueError(f"a descent takes at least 1 step on at least 1 example, not {self.steps}, {self.batch}")
        if not self.tolerance >= 0:
            raise ValueError(f"the tolerance must not be negative, but is {self.tolerance}")
        if self.tolerance and self.batch is not None:
            raise ValueError("the gradient of a minibatch never becomes small: give a batch or a tolerance, not both")

    def support_rows(self, key: Key[Array, ""], examples: int) -> Int[Array, "steps batch"] | None:
        """Which examples of the support set each step sees; ``None`` for all."""
        if self.batch is None:
            return None
        per_epoch = examples // self.batch
        epochs = -(-self.steps // per_epoch)
        orders = jax.vmap(lambda key: jax.random.permutation(key, examples))(jax.random.split(key, epochs))
        return orders[:, : per_epoch * self.batch].reshape(-1, self.batch)[: self.steps]

    def query_rows(self, examples: int) -> Int[Array, "steps batch"] | None:
        """Which examples of the query set each step sees; ``None`` for all."""
        if self.batch is None:
            return None
        batch = min(self.batch, examples)
        batches = jnp.arange(self.steps) % (examples // batch)
        return batches[:, None] * batch + jnp.arange(batch)[None]

    def init(self, fast: PyTree) -> DescentState:
        return DescentState(self.optimizer.init(fast), jnp.asarray(jnp.inf, jnp.result_type(float)))

    def minimise(self, energy: NudgedEnergy, state: EnergyState, key: Key[Array, ""], loop: Loop | None) -> EnergyState:
        step = DescentStep(self, energy)
        if self.tolerance:
            return self._to_tolerance(step, state)
        support = self.support_rows(key, count(energy.support))
        query = None if energy.query is None else self.query_rows(count(energy.query))
        return (loop or plain_loop)(step, state, ((support, query), jnp.arange(self.steps)))

    def _to_tolerance(self, step: "DescentStep", state: EnergyState) -> EnergyState:
        """Steps with all examples until the gradient is small, or there have been enough."""

        def going_on(carry: tuple[EnergyState, Int[Array, ""]]) -> Array:
            return (carry[0].minimiser.norm > self.tolerance) & (carry[1] < self.steps)

        def once(carry: tuple[EnergyState, Int[Array, ""]]) -> tuple[EnergyState, Int[Array, ""]]:
            return step(carry[0], ((None, None), carry[1])), carry[1] + 1

        return jax.lax.while_loop(going_on, once, (state, jnp.int32(0)))[0]

    def check(self, support: int) -> None:
        if self.batch is not None and self.batch > support:
            raise IncompatibleError(
                f"the inner loop takes {self.batch} examples per step, but the support set has only {support}"
            )

    def check_unrolled(self) -> None:
        if self.tolerance:
            raise IncompatibleError(
                "an inner loop that stops at a tolerance cannot be differentiated step by step: give the descent a"
                " number of steps, or use an implicit or contrastive estimator"
            )


class DescentStep(AbstractInnerStep):
    """One step down the energy of a batch."""

    descent: Descent
    energy: NudgedEnergy

    def __call__(self, state: EnergyState, inputs: tuple[PyTree, Int[Array, ""]]) -> EnergyState:
        """State after one more step; ``inputs`` says which rows it sees, and its index."""
        (support, query), _ = inputs
        whole = self.energy
        nudge = None if whole.query is None else take(whole.query, query)
        energy = NudgedEnergy(whole.learner, take(whole.support, support), nudge, whole.beta)
        direction, buffers = energy.direction(state.fast, state.buffers)
        update = with_smooth_roots(self.descent.optimizer.update)
        updates, optimizer = update(direction, state.minimiser.optimizer, state.fast)
        updates = jax.tree.map(lambda update: self.descent.rate * update, updates)
        norm = optax.tree.norm(direction) if self.descent.tolerance else state.minimiser.norm
        return EnergyState(eqx.apply_updates(state.fast, updates), buffers, DescentState(optimizer, norm))


def take(examples: PyTree, rows: Int[Array, " batch"] | None) -> PyTree:
    """Some examples, or all."""
    return examples if rows is None else jax.tree.map(lambda leaf: leaf[rows], examples)
