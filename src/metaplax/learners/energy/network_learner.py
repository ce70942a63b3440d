"""Energy learners that train a network."""

from functools import partial

import equinox as eqx
import jax
from equinox import AbstractVar
from jaxtyping import Array, Float, PyTree

from metaplax.learners.base import IncompatibleError, Metrics
from metaplax.learners.energy.base import AbstractEnergyLearner, EnergyState, count
from metaplax.networks import AbstractFunctionalNetwork, AbstractReadout
from metaplax.tasks import Episode, Examples


class AbstractNetworkLearner(AbstractEnergyLearner):
    """An energy learner whose misfit is the loss of a network's outputs."""

    network: AbstractVar[AbstractFunctionalNetwork]
    readout: AbstractVar[AbstractReadout]

    @property
    def slow_in_network(self) -> bool:
        return bool(jax.tree.leaves(eqx.filter(self.network, eqx.is_inexact_array)))

    def outputs(
        self, fast: PyTree, buffers: PyTree, x: Float[Array, "batch ..."], training: bool
    ) -> tuple[Float[Array, "batch ..."], PyTree]:
        """What the network answers, and its buffers after that."""
        return self.network(fast, buffers, x, training)

    def inner_loss(
        self, fast: PyTree, buffers: PyTree, examples: Examples, training: bool
    ) -> tuple[Float[Array, ""], PyTree]:
        answers, buffers = self.outputs(fast, buffers, examples.x, training)
        return self.readout.loss(answers, examples.y), buffers

    def evaluate(self, state: EnergyState, query: Examples) -> tuple[Float[Array, ""], Metrics]:
        answers, _ = self.outputs(state.fast, state.buffers, query.x, training=False)
        return self.readout.loss(answers, query.y), self.readout.metrics(answers, query.y)

    def check(self, episode: Episode, classes: int | None = None) -> None:
        for name, part in (("support", episode.support), ("query", episode.query)):
            if not isinstance(part, Examples):
                raise IncompatibleError(f"an energy learner needs inputs and targets, which the {name} set has not")
        self.minimiser.check(count(episode.support))
        try:
            start = partial(self.begin, jax.random.key(0))
            answers = jax.eval_shape(lambda x: self.outputs(*start(), x, training=False)[0], episode.query.x)
        except (TypeError, ValueError) as error:
            raise IncompatibleError(
                f"the network does not take inputs of shape {episode.query.x.shape[1:]}: {first_line(error)}"
            ) from error
        if classes is not None and classes > answers.shape[-1]:
            raise IncompatibleError(f"the task has {classes} classes, but the network {answers.shape[-1]} outputs")


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
