"""HebbFF: a hidden layer with fast synapses that change at every item, whether it is familiar or not.

``a = (W + A) x + b``, ``h = sigmoid(a)``, ``p = sigmoid(v h + c)``, then ``A <- lambda A + eta h x^T``. Meta-learned
are ``W``, ``b``, ``v``, ``c``, ``lambda`` and ``eta``; ``A`` is zero at the start of a stream.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from metaplax.feedback import Symmetric
from metaplax.learners import PlasticLearner, freeze
from metaplax.networks import BinaryCrossEntropy, Dense, Full, Instant, Layer, Sequential, Sigmoid, Summed
from metaplax.plasticity import AbstractTerm, Hebb, Rule, Scaled, WeightDecay, shared

PAPER = "Tyulmankov, Yang & Abbott (2022)"
DECAY = 0.01
"""``1 - lambda`` at the start."""
STRENGTH = 5.0
"""Size of ``eta`` at the start, times the number of inputs."""


def network(inputs: int, hidden: int, uniform: bool = False) -> Sequential:
    """The network; if it is ``uniform``, hidden units share one bias and one weight to the output."""
    first, last = Dense(inputs, hidden, Sigmoid(), bias=True, fast=True), Dense(hidden, 1, bias=True)
    if uniform:
        wiring = Full(inputs=inputs, outputs=hidden)
        first = Layer(wiring, Instant(Sigmoid(), offset=jnp.zeros(())), fast=wiring)
        last = Layer(Summed(inputs=hidden, outputs=1, bias=True), Instant())
    return Sequential(first, last, readout=BinaryCrossEntropy(), drawn="normal")


def learner(
    network: Sequential, terms: Sequence[AbstractTerm], first: float | None = None, decay: float = DECAY
) -> PlasticLearner:
    """A network whose fast synapses change by a sum of terms, scored on the answers that it gives along a stream.

    The first term has the coefficient ``first``, by default that of HebbFF, decays have ``decay``, and others zero.
    """
    first = -STRENGTH / network.inputs[0] if first is None else first
    initial = [first, *(decay if isinstance(term, WeightDecay) else 0.0 for term in terms[1:])]
    fast = network.fast_connections
    active = tuple((number in fast,) * len(terms) for number in range(len(network.connections)))
    rule = Rule(tuple(terms), shared(initial), active)
    made = PlasticLearner(network, rule, Symmetric(), start=network.init(jax.random.key(0)), prequential=True)
    return freeze(made, lambda it: [it.start[number] for number in fast])


def hebbff(network: Sequential, sign: int = 0) -> PlasticLearner:
    """HebbFF: a Hebbian term and a decay; ``sign`` is that of ``eta``, and 0 leaves it free to change from minus."""
    if sign == 0:
        return learner(network, (Hebb(), WeightDecay()))
    term = Scaled(Hebb(), STRENGTH / network.inputs[0])
    made = learner(network, (term, WeightDecay()), float(sign))
    return eqx.tree_at(lambda it: it.rule, made, made.rule.hold(term.name))


def drawn(learner: PlasticLearner, key: Key[Array, ""]) -> PlasticLearner:
    """The learner at the start of a trial: a fresh draw, in which shared weights to the output are -1."""
    fresh: Any = learner.resample(key)
    if not isinstance(fresh.network.connections[-1].wiring, Summed):
        return fresh
    return eqx.tree_at(lambda it: it.start[-1], fresh, jnp.array([[-1.0, 0.0]]))


def strengths(learner: PlasticLearner) -> dict[str, Float[Array, ""]]:
    """What is recorded of the rule: ``lambda``, ``eta`` of its first term, and ``eta`` times the number of inputs."""
    rule, layer = learner.rule, learner.network.fast_connections[0] + 1  # pyright: ignore[reportAttributeAccessIssue]
    first = rule.terms[0]
    eta = rule.coefficient(layer, 0) * (first.size if isinstance(first, Scaled) else 1.0)
    decays = [k for k, term in enumerate(rule.terms) if isinstance(term, WeightDecay)]
    kept = 1.0 - sum((rule.coefficient(layer, k) for k in decays), start=jnp.zeros(()))
    return {"lambda": kept, "eta": eta, "eta_d": eta * learner.network.inputs[0]}


def optimizer(learner: PlasticLearner, rate: float) -> optax.GradientTransformation:
    """Adam, after which ``lambda`` comes back to [0, 1]; Adam is not told."""
    decays = [k for k, term in enumerate(learner.rule.terms) if isinstance(term, WeightDecay)]
    values = lambda tree: tree.rule.coefficients.values  # noqa: E731

    def update(updates, state, params=None):
        before, step = values(params), values(updates)
        for k in decays:
            step = step.at[k].set(jnp.clip(before[k] + step[k], 0.0, 1.0) - before[k])
        return eqx.tree_at(values, updates, step), state

    return optax.chain(optax.adam(rate), optax.GradientTransformation(lambda params: optax.EmptyState(), update))
