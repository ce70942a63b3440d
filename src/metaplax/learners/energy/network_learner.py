"""Energy learners that train a network."""

from functools import partial

import equinox as eqx
import jax
from equinox import AbstractVar
from jaxtyping import Array, Float, PyTree

from metaplax.learners.base import IncompatibleError, Metrics
from metaplax.learners.energy.base import AbstractEnergyLearner, EnergyState, count
from metaplax.learners.examples import check_examples, first_line
from metaplax.networks import AbstractFunctionalNetwork, AbstractReadout
from metaplax.tasks import Episode, Examples


class AbstractNetworkLearner(AbstractEnergyLearner):
    """An energy learner whose inner loss is that of a network's outputs."""

    network: AbstractVar[AbstractFunctionalNetwork]
    readout: AbstractVar[AbstractReadout]

    @property
    def trains_network(self) -> bool:
        return bool(jax.tree.leaves(eqx.filter(self.network, eqx.is_inexact_array)))

    def outputs(
        self, fast: PyTree, buffers: PyTree, x: Float[Array, "batch ..."], training: bool
    ) -> tuple[Float[Array, "batch ..."], PyTree]:
        """Outputs of the network, and its buffers after that."""
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
            outputs = self._outputs_for(part) if isinstance(part, Examples) else 0
            check_examples(name, part, readout=self.readout, outputs=outputs, classes=classes)
        self.minimiser.check(count(episode.support))

    def output_size(self, episode: Episode) -> int:
        return self._outputs_for(episode.query)

    def _outputs_for(self, part: Examples) -> int:
        """How many outputs the network gives for such inputs.

        Raises:
            IncompatibleError: it does not take them.
        """
        start = partial(self.begin, jax.random.key(0))
        try:
            answers = jax.eval_shape(lambda x: self.outputs(*start(), x, training=False)[0], part.x)
        except (TypeError, ValueError) as error:
            raise IncompatibleError(
                f"the network does not take inputs of shape {part.x.shape[1:]}: {first_line(error)}"
            ) from error
        if answers.ndim != 2:
            raise IncompatibleError(f"the network must give a vector for each example, not {answers.shape[1:]}")
        return answers.shape[1]
