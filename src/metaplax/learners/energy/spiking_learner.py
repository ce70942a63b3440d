"""A spiking network whose weights are pulled to consolidated ones while it learns a task."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.learners.base import IncompatibleError, Metrics
from metaplax.learners.energy.base import AbstractEnergyLearner, AbstractMinimiser, EnergyState, count, sum_over
from metaplax.learners.energy.inner_gradient import BPTT, AbstractInnerGradient, simulate, squared_error
from metaplax.learners.examples import check_signals
from metaplax.networks import RecurrentLIF, SpikingWeights
from metaplax.tasks import Episode, Examples


class SpikingLearner(AbstractEnergyLearner):
    """``E = loss(support) + strength / 2 * sum_i (omega_i - fast_i) ** 2`` of a recurrent spiking network.

    Fast weights start at the consolidated ones, ``omega``, which are meta-learned. Inputs have shape
    ``(batch, time, inputs)``, targets ``(batch, outputs)``, for the mean output over time, or
    ``(batch, time, outputs)``. The outer loss is the mean squared error of the query set.

    Args:
        network: the network.
        inner_gradient: the inner loss and the direction of descent.
        minimiser: how the energy is minimised.
        strength: of the pull to the consolidated weights; 0 for none, as in MAML.
        key: randomness of ``omega``.

    Raises:
        ValueError: ``strength`` is negative.

    Source: Zucchet et al. (2022), section 5.4.
    """

    network: RecurrentLIF
    inner_gradient: AbstractInnerGradient
    minimiser: AbstractMinimiser
    omega: SpikingWeights
    strength: float

    def __init__(
        self,
        network: RecurrentLIF,
        inner_gradient: AbstractInnerGradient,
        minimiser: AbstractMinimiser,
        strength: float = 1e-3,
        *,
        key: Key[Array, ""] | None = None,
    ):
        if not strength >= 0:
            raise ValueError(f"strength must not be negative, but is {strength}")
        self.network, self.inner_gradient, self.minimiser, self.strength = network, inner_gradient, minimiser, strength
        self.omega = network.init(jax.random.key(0) if key is None else key)

    def redrawn(self, key: Key[Array, ""]) -> "SpikingLearner":
        return eqx.tree_at(lambda tree: tree.omega, self, self.network.init(key))

    @property
    def descends_gradient(self) -> bool:
        return isinstance(self.inner_gradient, BPTT)

    def begin(self, key: Key[Array, ""]) -> tuple[SpikingWeights, PyTree]:
        del key
        return self.omega, ()

    def regulariser(self, fast: SpikingWeights) -> Float[Array, ""]:
        if not self.strength:
            return jnp.zeros(())
        return 0.5 * self.strength * sum_over(lambda omega, weight: (omega - weight) ** 2, self.omega, fast)

    def inner_loss(
        self, fast: SpikingWeights, buffers: PyTree, examples: Examples, training: bool
    ) -> tuple[Float[Array, ""], PyTree]:
        del training
        return self.inner_gradient.loss(self.network, fast, examples.x, examples.y, inner=True), buffers

    def outer_loss(
        self, fast: SpikingWeights, buffers: PyTree, query: Examples, training: bool
    ) -> tuple[Float[Array, ""], PyTree]:
        del training
        return self.inner_gradient.loss(self.network, fast, query.x, query.y, inner=False), buffers

    def direction(
        self,
        fast: SpikingWeights,
        buffers: PyTree,
        support: Examples,
        query: Examples | None = None,
        beta: Float[Array, ""] | float = 0.0,
    ) -> tuple[SpikingWeights, PyTree]:
        found, buffers = super().direction(fast, buffers, support, query, beta)
        return self.inner_gradient.modulated(found), buffers

    def local_direction(
        self, fast: SpikingWeights, buffers: PyTree, examples: Examples, *, inner: bool
    ) -> tuple[SpikingWeights, PyTree]:
        return self.inner_gradient.direction(self.network, fast, examples.x, examples.y, inner), buffers

    def evaluate(self, state: EnergyState, query: Examples) -> tuple[Float[Array, ""], Metrics]:
        recording = simulate(self.network, state.fast, query.x)
        return squared_error(recording, query.y), {"firing_rate": jnp.mean(recording.spikes)}

    def check(self, episode: Episode, classes: int | None = None) -> None:
        network = self.network
        for name, part in (("support", episode.support), ("query", episode.query)):
            if not isinstance(part, Examples) or len(part.x.shape) != 3 or part.x.shape[-1] != network.inputs:
                shape = getattr(getattr(part, "x", None), "shape", None)
                raise IncompatibleError(
                    f"a spiking network with {network.inputs} inputs takes arrays of shape (batch, time,"
                    f" {network.inputs}), but the {name} set has {shape}"
                )
            check_signals(name, part, 0)
            rows, time, _ = part.x.shape
            if time < 2:
                raise IncompatibleError(
                    f"spiking networks need at least 2 steps of time, but the {name} set has {time}"
                )
            shapes = (rows, network.outputs), (rows, time, network.outputs)
            if part.y.shape not in shapes or not jnp.issubdtype(part.y.dtype, jnp.floating):
                raise IncompatibleError(
                    f"targets of {network.outputs} outputs are floating-point numbers of shape {shapes[0]} or"
                    f" {shapes[1]}, but those of the {name} set are {part.y.dtype} of shape {part.y.shape}"
                )
        if classes is not None:
            raise IncompatibleError("a spiking network with a leaky readout learns numbers, but the task has classes")
        self.minimiser.check(count(episode.support))
