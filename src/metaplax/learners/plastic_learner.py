"""Any network that learns by a local plasticity rule, taught through any feedback pathway."""

from collections.abc import Callable
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Num, PyTree

from metaplax.feedback import AbstractFeedback, RandomFixed
from metaplax.feedback.base import forward
from metaplax.feedback.modulators import AbstractModulator, target_per_step
from metaplax.learners.answers import OuterLoss, answered, no_answers
from metaplax.learners.base import Loop, Metrics
from metaplax.learners.examples import check_examples, check_rule
from metaplax.learners.invertible import AbstractInvertibleLearner
from metaplax.learners.plastic_changes import constrained, scaled
from metaplax.learners.plastic_signals import (
    all_signals,
    positions_of,
    scored_examples,
    scored_steps,
    steep_inputs,
    taught,
    teacher,
)
from metaplax.learners.plastic_state import PlasticState, Step
from metaplax.networks import AbstractPlasticNetwork, Activity, Weights
from metaplax.plasticity import (
    AbstractPenalty,
    Changes,
    NoPenalty,
    Positions,
    PrintedTerm,
    Replace,
    Rule,
    total,
)
from metaplax.tasks import Episode, Examples

Starts = tuple[Float[Array, "starts _ _"], ...]
"""Several initial weights: one array per connection."""

Probe = Callable[[AbstractPlasticNetwork, AbstractFeedback, PlasticState, Examples], Metrics]
"""A measurement on the adapted network and the query set."""


class PlasticLearner(AbstractInvertibleLearner):
    """A network that learns from examples, one after the other, by a local plasticity rule.

    For every example: the network computes, feedback tells every population its error, and all connections change at
    once by the rule. In a network with memory an example is a sequence of shape ``(time, ...)``, with one target or one
    per step; weights change after the sequence, by the sum of the updates of all of its steps, or at every step. In a
    minibatch updates are summed over the examples, as they are over the positions of a convolution.

    Args:
        network: the network.
        rule: the plasticity rule.
        feedback: the feedback pathway; by default ``RandomFixed``.
        modulator: makes a signal that is broadcast to all synapses, such as a reward.
        start: weights at the start of every episode, which are then meta-learned; by default they are drawn anew. With
            a leading axis there are several starts, and every episode says which is its own.
        penalty: penalty on the coefficients, added to the outer loss (Eq. 6 of Shervani-Tabar & Rosenbaum, 2023).
        probes: further measurements on the query set after adaptation.
        scored: how many steps at the end of a sequence are scored and taught; 0 for all.
        every_step: whether weights change at every step of time, not after a sequence.
        minibatch: whether the support set holds minibatches: ``(steps, batch, ...)`` in place of ``(steps, ...)``.
        outer_loss: replaces the loss of the readout in the outer loss.
        prequential: whether the outer loss is that of what the network says to every example of the support set before
            it learns from it, a mean over examples, in place of the query set. Examples whose target is all NaN are
            left out.
        key: randomness of what is meta-learned and not given: ``Learned`` feedback.
        frozen: paths of arrays that are not meta-learned; ``freeze`` finds them.

    Raises:
        ValueError: ``scored`` is negative; weights are to change at every step in a network without time, or in
            minibatches; a pathway with a delay is to serve minibatches without time; or a pathway needs weights of its
            own and has none.

    Source: Shervani-Tabar & Rosenbaum (2023), Algorithm 1, of which this is the generalisation.
    """

    network: AbstractPlasticNetwork
    rule: Rule
    feedback: AbstractFeedback
    modulator: AbstractModulator | None
    start: Weights | Starts | None
    penalty: AbstractPenalty
    probes: tuple[Probe, ...] = eqx.field(static=True)
    scored: int = eqx.field(static=True)
    every_step: bool = eqx.field(static=True)
    minibatch: bool = eqx.field(static=True)
    outer_loss: OuterLoss | None = eqx.field(static=True)
    prequential: bool = eqx.field(static=True, default=False)

    def __init__(
        self,
        network: AbstractPlasticNetwork,
        rule: Rule,
        feedback: AbstractFeedback | None = None,
        *,
        modulator: AbstractModulator | None = None,
        start: Weights | Starts | None = None,
        penalty: AbstractPenalty | None = None,
        probes: tuple[Probe, ...] = (),
        scored: int = 0,
        every_step: bool = False,
        minibatch: bool = False,
        outer_loss: OuterLoss | None = None,
        prequential: bool = False,
        key: Key[Array, ""] | None = None,
        frozen: tuple[str, ...] = (),
    ):
        if scored < 0:
            raise ValueError(f"scored says how many steps at the end are scored, so it must not be {scored}")
        if every_step and (minibatch or not network.has_time):
            raise ValueError("weights change at every step of time only in networks with time, one sequence at a time")
        pathway = RandomFixed() if feedback is None else feedback
        if minibatch and not network.has_time and jax.tree.leaves(jax.eval_shape(lambda: pathway.memory(network))):
            raise ValueError("feedback that arrives later needs a network with time, or one example at a time")
        self.network, self.rule, self.modulator, self.start = network, rule, modulator, start
        self.feedback = pathway.drawn(jax.random.key(0) if key is None else key, network, only_missing=True)
        jax.eval_shape(lambda: self.feedback.init(jax.random.key(0), network))  # refuses what has no weights
        self.penalty = NoPenalty() if penalty is None else penalty
        self.probes, self.scored, self.every_step, self.minibatch = tuple(probes), scored, every_step, minibatch
        self.outer_loss, self.prequential, self.frozen = outer_loss, prequential, frozen

    def redrawn(self, key: Key[Array, ""]) -> "PlasticLearner":
        start_key, feedback_key, network_key = jax.random.split(key, 3)
        keys = start_key if self._starts is None else jax.random.split(start_key, self._starts)
        draw = self.network.init if self._starts is None else jax.vmap(self.network.init)
        start = None if self.start is None else draw(keys)
        where = lambda learner: (learner.network, learner.start, learner.feedback)  # noqa: E731
        fresh = (self.network.redrawn(network_key), start, self.feedback.drawn(feedback_key, self.network))
        return eqx.tree_at(where, self, fresh, is_leaf=lambda leaf: leaf is None)

    def untrained(self) -> tuple[str, ...]:
        return (".rule.constants",)

    @property
    def _starts(self) -> int | None:
        """How many starts there are; ``None`` for one that all share, or none."""
        return None if self.start is None or self.start[0].ndim == 2 else len(self.start[0])

    def first_state(self, episode: Episode, key: Key[Array, ""]) -> PlasticState:
        """State at the start of this episode: with its own weights, or with those of its number."""
        state, start = self.init(key), episode.start
        if start is None:
            return state
        if self._starts is not None:
            start = jax.tree.map(lambda leaf: leaf[start], self.start)
        return eqx.tree_at(lambda it: it.weights, state, self.network.allowed(start))

    def init(self, key: Key[Array, ""]) -> PlasticState:
        weight_key, feedback_key = jax.random.split(key)
        start = self.start if self._starts is None else jax.tree.map(lambda leaf: leaf[0], self.start)
        weights = self.network.init(weight_key) if start is None else self.network.allowed(start)
        feedback = self.feedback.init(feedback_key, self.network)
        memory, pathway = self._kept(self._memory()), self.feedback.memory(self.network)
        modulator = () if self.modulator is None else self.modulator.init()
        layers = range(1, len(weights) + 1)
        largest = () if self.rule.limit is None else tuple(map(self.rule.largest, layers))
        # Within a sequence there is more to remember than from one to the next.
        pathway = () if self.network.has_time and not self.every_step else pathway
        dynamics = self.network.start() if self.every_step else ()
        answers = no_answers(self.network.readout, self.network.outputs) if self.prequential else ()
        return PlasticState(weights, feedback, memory, modulator, pathway, dynamics, largest, answers)

    def precompute(self, support: Examples) -> PyTree:
        """Features of all inputs; with an update at every step of time, all steps of all sequences in a row."""
        support = replace(support, x=self.network.features(support.x))
        if not self.every_step:
            return support
        count, steps = support.x.shape[:2]
        y = jax.vmap(lambda y: self._targets(y, steps))(support.y)
        each = lambda one: jnp.tile(one, (count, 1))  # noqa: E731
        is_first, scored = jnp.arange(steps) == 0, scored_steps(steps, self.scored)
        return jax.tree.map(
            lambda leaf: leaf.reshape(count * steps, *leaf.shape[2:]),
            Step(support.x, y, each(is_first), each(scored), support.learns, support.modulators),
        )

    def updates(self, state: PlasticState, example: PyTree, key: Key[Array, ""]) -> PlasticState:
        if self.every_step:
            asked, after = self._learn_a_step(state, example, key)
        elif self.minibatch:
            count = example.x.shape[0]
            learn = lambda example, key: self._learn(state, example, key)  # noqa: E731
            asked, after = jax.vmap(learn)(example, jax.random.split(key, count))
            asked = tuple(tuple(total(update, count) for update in updates) for updates in asked)
            # What lasts is one for all examples: the mean of what each makes of it.
            after = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), after)
        else:
            asked, after = self._learn(state, example, key)
        largest = state.largest or (None,) * len(asked)
        changes = tuple(map(self.rule.weighted, range(1, len(asked) + 1), asked, largest))
        return self._changes(state, changes, after)

    def _learn(
        self, state: PlasticState, example: Examples, key: Key[Array, ""]
    ) -> tuple[tuple[Changes, ...], PlasticState]:
        """What one example asks of all connections; the rest of the state as it is after that."""
        has_time = self.network.has_time
        activity = self.network.run(state.weights, example.x)
        memory, pathway = state.memory or self._memory(), state.pathway
        if has_time:
            if state.memory:
                memory = tuple(map(self.rule.resumed, self._memory(), memory))
            pathway = self.feedback.memory(self.network)
            steps = activity.z[-1].shape[0]
            targets = self._targets(example.y, steps)
            error = jax.vmap(self.network.readout.error)(activity.y[-1], targets)
            error = error * scored_steps(steps, self.scored)[:, None]
        else:
            targets = example.y[None]
            error = self.network.readout.error(activity.y[-1], example.y)
        logits = activity.logits if has_time else activity.logits[None]
        answer = self._window(logits, targets)
        modulators, modulator = self._modulators(state, example, *answer)
        asked, memory, pathway = self._ask(state, activity, error, modulators, memory, pathway, key, has_time=has_time)
        pathway = () if has_time else pathway
        said = answered(self.network.readout, self.outer_loss, state.answers, *answer, activity.logits, example.y)
        after = PlasticState((), (), self._kept(memory), modulator, pathway, answers=said)
        return scaled(asked, example.learns), after

    def _learn_a_step(
        self, state: PlasticState, step: Step, key: Key[Array, ""]
    ) -> tuple[tuple[Changes, ...], PlasticState]:
        """What one step of time asks of all connections; the rest of the state as it is after that."""
        fresh = lambda new, old: jax.tree.map(lambda n, o: jnp.where(step.is_first, n, o), new, old)  # noqa: E731
        memory = state.memory or self._memory()
        memory = fresh(tuple(map(self.rule.resumed, self._memory(), map(self.rule.lasting, memory))), memory)
        pathway = fresh(self.feedback.memory(self.network), state.pathway)
        dynamics = fresh(self.network.start(), state.dynamics)
        dynamics, activity = self.network.step(state.weights, dynamics, step.x)
        logits, target = activity.logits[None], step.y[None]
        modulators, modulator = self._modulators(state, step, logits, target)
        if modulators is not None and step.modulators is None:
            # A step that is not scored brings no reward, and none is expected of it.
            scored = lambda new, old: jnp.where(step.scored > 0, new, old)  # noqa: E731
            modulators = scored(modulators, jnp.zeros_like(modulators))
            modulator = jax.tree.map(scored, modulator, state.modulator)
        error = self.network.readout.error(activity.y[-1], step.y) * step.scored
        asked, memory, pathway = self._ask(state, activity, error, modulators, memory, pathway, key, has_time=False)
        answer = logits, target, logits[0], step.y
        said = answered(self.network.readout, self.outer_loss, state.answers, *answer, step.scored)
        after = PlasticState((), (), self._kept(memory), modulator, pathway, dynamics, answers=said)
        return scaled(asked, step.learns), after

    def _ask(
        self,
        state: PlasticState,
        activity: Activity,
        output_error: Float[Array, "*time outputs"],
        modulators: Float[Array, " modulators"] | None,
        memory: PyTree,
        pathway: PyTree,
        key: Key[Array, ""],
        *,
        has_time: bool,
    ) -> tuple[tuple[Changes, ...], PyTree, PyTree]:
        """The updates of all terms, and the memories of these and of the pathway after them."""
        teach_key, term_key = jax.random.split(key)
        teach = teacher(self.feedback, state.feedback, self.network, state.weights)
        errors, pathway = taught(self.feedback, pathway, teach, activity, output_error, teach_key, has_time)
        signals = all_signals(self.network, state.weights, activity, errors, modulators, term_key, has_time)
        found = [
            self.rule.asked(number, seen, kept, positions_of(connection.wiring), is_sequence=has_time)
            for number, (connection, seen, kept) in enumerate(
                zip(self.network.connections, signals, memory, strict=True), start=1
            )
        ]
        asked, after = zip(*found, strict=True)
        return asked, after, pathway

    def _changes(self, state: PlasticState, changes: tuple[Changes, ...], after: PlasticState) -> PlasticState:
        """The changes of the whole state: of feedback weights, too, and with the constraints on weights."""
        numbers = self.network.forward_connections
        feedback, carried = self.feedback.learn(state.feedback, forward(self.network, changes))
        changed = dict(zip(numbers, carried, strict=True))
        weights = tuple(
            constrained(self.network.connections[number], weight, changed.get(number, updates))
            for number, (weight, updates) in enumerate(zip(state.weights, changes, strict=True))
        )
        replaced = lambda old, new: (Replace(new),)  # noqa: E731
        memory = jax.tree.map(
            lambda old, new, per_synapse: (Replace(new, per_synapse),),
            state.memory,
            after.memory,
            self._per_synapse() if state.memory else (),
        )
        others = {
            name: jax.tree.map(replaced, getattr(state, name), getattr(after, name))
            for name in ("modulator", "pathway", "dynamics", "answers")
        }
        return PlasticState(weights, feedback, memory, **others, largest=jax.tree.map(lambda _: (), state.largest))

    def _memory(self) -> PyTree:
        """Memory of all terms in all connections, at the start."""
        wirings = [connection.wiring for connection in self.network.connections]
        return tuple(self.rule.memory(wiring.shape, positions_of(wiring)) for wiring in wirings)

    def _per_synapse(self) -> PyTree:
        """For every array of memory, whether it has one number per synapse: it grows with both sides."""

        def sizes(shape: tuple[int, int], positions: Positions | None) -> PyTree:
            memory = jax.eval_shape(lambda: self._kept((self.rule.memory(shape, positions),)))
            return jax.tree.map(lambda leaf: leaf.size, memory)

        found = []
        for connection in self.network.connections:
            (post, pre), positions = connection.wiring.shape, positions_of(connection.wiring)
            each = [sizes(shape, positions) for shape in ((post, pre), (2 * post, pre), (post, 2 * pre))]
            found.extend(jax.tree.map(lambda one, *others: min(others) > one, *each) or ((),))
        return tuple(found)

    def _kept(self, memory: PyTree) -> PyTree:
        """The part of the memory that is in the state; nothing if that has no arrays."""
        if self.network.has_time and not self.every_step:
            memory = tuple(map(self.rule.lasting, memory))
        return memory if jax.tree.leaves(memory) else ()

    def _modulators(
        self,
        state: PlasticState,
        example: Examples | Step,
        logits: Float[Array, "time outputs"],
        targets: Num[Array, "time ..."],
    ) -> tuple[Float[Array, " modulators"] | None, PyTree]:
        """The modulators, recorded or made, if there are any, and what they remember."""
        if self.modulator is None:
            return example.modulators, ()
        return self.modulator(state.modulator, self.network.readout, logits, targets)

    def _targets(self, y: Num[Array, "..."], steps: int) -> Num[Array, "time ..."]:
        return target_per_step(self.network.readout, y, steps, self.network.outputs)

    def _window(
        self, logits: Float[Array, "time outputs"], targets: Num[Array, "time ..."]
    ) -> tuple[Float[Array, "scored outputs"], Num[Array, "scored ..."]]:
        """Only the steps that are scored."""
        return logits[-self.scored :], targets[-self.scored :]

    def adapt(
        self, state: PlasticState, support: Examples, key: Key[Array, ""], loop: Loop | None = None
    ) -> PlasticState:
        if self.feedback.looks_ahead:
            final = super().adapt(state, support, key)
            seen = self.feedback.look_ahead(state.feedback, final.weights)
            state = eqx.tree_at(lambda s: s.feedback, state, seen, is_leaf=lambda leaf: leaf is None)
        return super().adapt(state, support, key, loop)

    def evaluate(self, state: PlasticState, query: Examples) -> tuple[Float[Array, ""], Metrics]:
        loss, metrics = self._along_the_way(state) if self.prequential else self._of_query(state, query)
        for probe in self.probes:
            metrics |= probe(self.network, self.feedback, state, query)
        return loss + self.penalty(self.rule.coefficients), metrics

    def _along_the_way(self, state: PlasticState) -> tuple[Float[Array, ""], Metrics]:
        """Mean loss and metrics of what was said to the support set, without the penalty."""
        misfit, metrics = state.answers.means()
        return misfit, {"misfit": misfit, **metrics}

    def _of_query(self, state: PlasticState, query: Examples) -> tuple[Float[Array, ""], Metrics]:
        """Outer loss on the query set, without the penalty, and the metrics of the readout."""
        outputs = jax.vmap(lambda x: self.network(state.weights, x))(self.network.features(query.x))
        logits, targets = outputs, query.y
        if self.network.has_time:
            logits, targets = scored_examples(self.network.readout, outputs, query.y, self.scored)
        readout = self.network.readout
        loss = readout.loss(logits, targets) if self.outer_loss is None else self.outer_loss(outputs, query.y)
        return loss, readout.metrics(logits, targets)

    def output_size(self, episode: Episode) -> int:
        return self.network.outputs

    def why_exploding(self, episode: Episode) -> str | None:
        is_plain = not (self.network.has_time or self.minibatch)
        return steep_inputs(self.network, episode.support.x) if is_plain else None

    def scalars(self) -> Metrics:
        return self.rule.scalars() | self.feedback.scalars()

    def printed(self) -> tuple[PrintedTerm, ...]:
        return self.rule.printed()

    def check(self, episode: Episode, classes: int | None = None) -> None:
        for name, part, leading in (("support", episode.support, 1 + self.minibatch), ("query", episode.query, 1)):
            check_examples(
                name, part, readout=self.network.readout, outputs=self.network.outputs, inputs=self.network.inputs,
                leading=leading, has_time=self.network.has_time, classes=classes, signals=leading + self.every_step,
            )  # fmt: skip
        check_rule(self.rule, self.network.shapes)
