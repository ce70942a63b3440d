"""Energy learners that train a network."""

from functools import partial

import equinox as eqx
import jax
from equinox import AbstractVar
from jaxtyping import Array, Float, Key, Num, PyTree

from metaplax.learners.base import IncompatibleError, Metrics
from metaplax.learners.energy.base import AbstractEnergyLearner, AbstractMinimiser, EnergyState, count
from metaplax.learners.energy.local_rule import LocalRule
from metaplax.learners.examples import check_examples, check_rule, first_line
from metaplax.learners.plastic_signals import scored_examples
from metaplax.learners.trainable import split
from metaplax.networks import AbstractFunctionalNetwork, AbstractPlasticNetwork, AbstractReadout, PlasticFunction
from metaplax.plasticity import PrintedTerm
from metaplax.tasks import Episode, Examples

Parts = tuple[AbstractFunctionalNetwork, AbstractReadout, AbstractMinimiser, LocalRule | None]
"""Network, readout, minimiser, and the local rule if there is one."""


class AbstractNetworkLearner(AbstractEnergyLearner):
    """An energy learner whose inner loss is that of a network's outputs: of sequences, the sum over time.

    Attributes:
        local_rule: in place of the gradient of the inner loss, if the network is a plastic one.
    """

    network: AbstractVar[AbstractFunctionalNetwork]
    readout: AbstractVar[AbstractReadout]
    local_rule: LocalRule | None = eqx.field(default=None, kw_only=True)

    @property
    def trains_network(self) -> bool:
        return bool(jax.tree.leaves(eqx.filter(self.network, eqx.is_inexact_array)))

    @property
    def descends_gradient(self) -> bool:
        return self.local_rule is None

    @property
    def learns_direction(self) -> bool:
        learned = split(self)[0]
        return self.local_rule is not None and bool(jax.tree.leaves((learned.local_rule, learned.network)))

    def untrained(self) -> tuple[str, ...]:
        return (".local_rule.rule.constants",)

    def buffers_at_start(self, key: Key[Array, ""]) -> PyTree:
        """Buffers of the network before the first step, or the feedback pathway of the local rule."""
        if self.local_rule is None:
            return self.network.init(key)[1]
        return self.local_rule.init(key, _plastic(self.network).network)

    def local_direction(
        self, fast: PyTree, buffers: PyTree, examples: Examples, *, inner: bool
    ) -> tuple[PyTree, PyTree]:
        del inner
        assert self.local_rule is not None
        return self.local_rule(_plastic(self.network), fast, buffers, examples)

    def outputs(
        self, fast: PyTree, buffers: PyTree, x: Float[Array, "batch ..."], training: bool
    ) -> tuple[Float[Array, "batch ..."], PyTree]:
        """Outputs of the network, and its buffers after that."""
        return self.network(fast, buffers, x, training)

    def inner_loss(
        self, fast: PyTree, buffers: PyTree, examples: Examples, training: bool
    ) -> tuple[Float[Array, ""], PyTree]:
        answers, buffers = self.outputs(fast, buffers, examples.x, training)
        return self._loss(answers, examples.y), buffers

    def _loss(self, answers: Float[Array, "batch *time outputs"], y: Num[Array, "batch ..."]) -> Float[Array, ""]:
        """Mean loss of examples; of sequences, the sum over the steps that are scored."""
        logits, targets = self._scored(answers, y)
        loss = self.readout.loss(logits, targets)
        return loss if answers.ndim == 2 else loss * (len(logits) / len(answers))

    def _scored(
        self, answers: Float[Array, "batch *time outputs"], y: Num[Array, "batch ..."]
    ) -> tuple[Float[Array, "rows outputs"], Num[Array, "rows ..."]]:
        """Outputs and targets, one row for every example or for every step of it that is scored."""
        if answers.ndim == 2:
            return answers, y
        return scored_examples(self.readout, answers, y, _plastic(self.network).scored)

    def evaluate(self, state: EnergyState, query: Examples) -> tuple[Float[Array, ""], Metrics]:
        answers, _ = self.outputs(state.fast, state.buffers, query.x, training=False)
        return self._loss(answers, query.y), self.readout.metrics(*self._scored(answers, query.y))

    def scalars(self) -> Metrics:
        return {} if self.local_rule is None else self.local_rule.scalars()

    def printed(self) -> tuple[PrintedTerm, ...]:
        return () if self.local_rule is None else self.local_rule.rule.printed()

    def check(self, episode: Episode, classes: int | None = None) -> None:
        plastic = self.network.network if isinstance(self.network, PlasticFunction) else None
        for name, part in (("support", episode.support), ("query", episode.query)):
            check_examples(
                name,
                part,
                readout=self.readout,
                outputs=self._outputs_for(part) if isinstance(part, Examples) else 0,
                inputs=None if plastic is None else plastic.populations[0].shape,
                has_time=plastic is not None and plastic.has_time,
                classes=classes,
            )
        self.minimiser.check(count(episode.support))
        if plastic is not None and self.local_rule is not None:
            check_rule(self.local_rule.rule, plastic.shapes)
            self._try_rule(episode.support)

    def _try_rule(self, support: Examples) -> None:
        """See to it, on shapes alone, that the rule finds all signals that it asks for."""
        start = partial(self.begin, jax.random.key(0))
        try:
            jax.eval_shape(lambda examples: self.local_direction(*start(), examples, inner=True)[0], support)
        except (TypeError, ValueError) as error:
            raise IncompatibleError(
                "the rule asks for what a direction of descent does not have, such as modulators"
                f" ({first_line(error)}): use PlasticLearner"
            ) from error

    def output_size(self, episode: Episode) -> int:
        return self._outputs_for(episode.query)

    def _outputs_for(self, part: Examples) -> int:
        """How many outputs the network gives for such inputs.

        Raises:
            IncompatibleError: it does not take them.
        """
        if isinstance(self.network, PlasticFunction):
            return self.network.network.outputs
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


def parts(
    network: AbstractFunctionalNetwork | AbstractPlasticNetwork,
    readout: AbstractReadout | AbstractMinimiser | None,
    minimiser: AbstractMinimiser | None,
    direction: LocalRule | None,
    key: Key[Array, ""],
) -> Parts:
    """What a learner is made of, as it is given: with a plastic network, the minimiser in the place of the readout.

    Raises:
        ValueError: something is missing or does not fit the rest.
    """
    if isinstance(readout, AbstractMinimiser):
        if minimiser is not None:
            raise ValueError("a plastic network has a readout, so the minimiser comes second; give the rest by name")
        readout, minimiser = None, readout
    if isinstance(network, AbstractPlasticNetwork):
        network = PlasticFunction(network)
    if isinstance(network, PlasticFunction):
        own = network.network.readout
        if readout is not None and not eqx.tree_equal(readout, own):
            raise ValueError(f"a plastic network has a readout, here {own}: leave out the other one, {readout}")
        readout = own
    if readout is None or minimiser is None:
        raise ValueError("the learner needs a minimiser, and a readout unless the network is a plastic one")
    if direction is not None:
        if not isinstance(network, PlasticFunction):
            kind = type(network).__name__
            raise ValueError(f"a local rule needs a plastic network, such as MLP or Sequential, not {kind}")
        direction = direction.drawn(key, network.network, only_missing=True)
        direction.refuse(network)
    return network, readout, minimiser, direction


def _plastic(network: AbstractFunctionalNetwork) -> PlasticFunction:
    assert isinstance(network, PlasticFunction)
    return network
