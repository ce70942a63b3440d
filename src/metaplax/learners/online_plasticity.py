"""Online learning by a plasticity rule: one pass, one example at a time, no gradient inside."""

from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key, PyTree

from metaplax.feedback import AbstractFeedback, RandomFixed
from metaplax.learners.base import IncompatibleError, Loop, Metrics
from metaplax.learners.examples import check_examples
from metaplax.learners.invertible import AbstractInvertibleLearner
from metaplax.networks import MLP
from metaplax.plasticity import AbstractPenalty, NoPenalty, PrintedTerm, Rule, Signals
from metaplax.tasks import Episode, Examples


class PlasticState(eqx.Module):
    """Forward weights and the state of the feedback pathway during an episode, or the changes of both."""

    weights: PyTree
    feedback: PyTree


Probe = Callable[[MLP, AbstractFeedback, PlasticState, Examples], Metrics]
"""A measurement on the adapted network and the query set."""


class OnlinePlasticity(AbstractInvertibleLearner):
    """A network that learns a stream of examples with a local plasticity rule.

    For every example: forward sweep, errors through the feedback pathway, then all layers change at
    once by the rule. Weights and feedback are drawn anew in each episode; the rule's coefficients are
    meta-learned.

    Args:
        network: the network.
        rule: the plasticity rule.
        feedback: the feedback pathway.
        penalty: penalty on the coefficients, added to the outer loss (Eq. 6).
        probes: further measurements on the query set after adaptation.

    Source: Shervani-Tabar & Rosenbaum (2023), Algorithm 1.
    """

    network: MLP
    rule: Rule
    feedback: AbstractFeedback = RandomFixed()
    penalty: AbstractPenalty = NoPenalty()
    probes: tuple[Probe, ...] = eqx.field(static=True, default=())

    def init(self, key: Key[Array, ""]) -> PlasticState:
        weight_key, feedback_key = jax.random.split(key)
        return PlasticState(self.network.init(weight_key), self.feedback.init(feedback_key, self.network))

    def updates(self, state: PlasticState, example: Examples, key: Key[Array, ""]) -> PlasticState:
        del key
        network = self.network
        activity = network.forward(state.weights, example.x)
        output_error = network.readout.error(activity.y[-1], example.y)
        errors = self.feedback.errors(state.feedback, network, state.weights, activity, output_error)
        changes = tuple(
            self.rule.updates(
                layer,
                Signals(
                    pre=activity.y[layer - 1],
                    post=activity.y[layer],
                    pre_error=errors[layer - 1],
                    post_error=errors[layer],
                    preactivation=activity.z[layer - 1],
                    weight=weight,
                ),
            )
            for layer, weight in enumerate(state.weights, start=1)
        )
        feedback, changes = self.feedback.learn(state.feedback, changes)
        return PlasticState(changes, feedback)

    def adapt(
        self, state: PlasticState, support: Examples, key: Key[Array, ""], loop: Loop | None = None
    ) -> PlasticState:
        if self.feedback.looks_ahead:
            final = super().adapt(state, support, key)
            state = PlasticState(state.weights, self.feedback.look_ahead(state.feedback, final.weights))
        return super().adapt(state, support, key, loop)

    def evaluate(self, state: PlasticState, query: Examples) -> tuple[Float[Array, ""], Metrics]:
        logits = jax.vmap(lambda x: self.network.forward(state.weights, x).logits)(query.x)
        loss = self.network.readout.loss(logits, query.y)
        metrics = self.network.readout.metrics(logits, query.y)
        for probe in self.probes:
            metrics |= probe(self.network, self.feedback, state, query)
        return loss + self.penalty(self.rule.coefficients), metrics

    def output_size(self, episode: Episode) -> int:
        return self.network.sizes[-1]

    def scalars(self) -> Metrics:
        return self.rule.scalars() | self.feedback.scalars()

    def printed(self) -> tuple[PrintedTerm, ...]:
        return self.rule.printed()

    def check(self, episode: Episode, classes: int | None = None) -> None:
        inputs, outputs = self.network.sizes[0], self.network.sizes[-1]
        for name, part in (("support", episode.support), ("query", episode.query)):
            readout = self.network.readout
            check_examples(name, part, readout=readout, outputs=outputs, inputs=(inputs,), classes=classes)
        if not self.rule.coefficients.fits(len(self.rule.terms), self.network.sizes):
            raise IncompatibleError(
                f"the rule's coefficients do not fit its {len(self.rule.terms)} terms in a network of sizes"
                f" {self.network.sizes}"
            )
        if self.rule.active is not None and len(self.rule.active) != self.network.depth:
            raise IncompatibleError(
                f"the rule says for {len(self.rule.active)} layers which terms act, but the network has"
                f" {self.network.depth} layers"
            )
