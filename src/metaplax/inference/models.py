"""Learners that replay recorded experiments: which network, which rule, and what of them is unknown."""

from collections.abc import Sequence
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from metaplax.feedback import Symmetric
from metaplax.learners import PlasticLearner, freeze
from metaplax.networks import (
    MLP,
    AbstractActivation,
    AbstractPlasticNetwork,
    BinaryCrossEntropy,
    Dense,
    RecordedActivity,
    Recurrent,
    Sequential,
    Sigmoid,
    Tanh,
    Weights,
)
from metaplax.plasticity import AbstractPenalty, GlobalCoefficients, Rule, monomials, named_rules, shared
from metaplax.plasticity.general_terms import Seen

Model = Literal["full", "rule", "weights", "null"]
"""What is fitted: the rule and the initial weights, only one of them, or nothing."""

MODELS: tuple[Model, ...] = ("full", "rule", "weights", "null")
OF_ACTIVITY: tuple[Seen, ...] = ("pre", "post", "weight")
"""What a synapse sees where activity was recorded."""
OF_CHOICES: tuple[Seen, ...] = ("pre", "modulator", "weight")
"""What it sees where choices were: of the rewards, how much they exceed what was expected."""
WIDTH = 10
"""Hidden units of the network that a rule is, as published."""


def polynomial(of: Sequence[Seen], degree: int = 2, highest: dict[Seen, int] | None = None) -> Rule:
    """A polynomial rule with all coefficients at zero, as ``rules.taylor``, with lower powers of some signals.

    Args:
        of: what a synapse sees.
        degree: largest power of each.
        highest: largest power of some of them, where that is another one.
    """
    most = [(highest or {}).get(name, degree) for name in of]
    terms = [
        term
        for term in monomials(degree, of)
        if all(power <= top for power, top in zip(term.powers, most, strict=True))
    ]
    return Rule(tuple(terms), shared([0.0] * len(terms)))


def network_rule(of: Sequence[Seen], key: Key[Array, ""], width: int = WIDTH) -> Rule:
    """A small network as the rule, see ``rules.mlp``; with three signals it has ``5 width`` parameters."""
    return named_rules.mlp(of, width, key=key)


def with_coefficients(rule: Rule, values: dict[str, float]) -> Rule:
    """The rule with these coefficients, by name of the term, and zero for all others.

    Raises:
        ValueError: it has no term of such a name.
    """
    names = [term.name for term in rule.terms]
    if unknown := [name for name in values if name not in names]:
        raise ValueError(f"the rule has no term {unknown[0]!r}: its terms are {', '.join(names)}")
    start = rule.coefficients.filled([values.get(name, 0.0) for name in names])
    return eqx.tree_at(lambda it: it.coefficients, rule, start)


def replaying_activity(
    inputs: int,
    neurons: int,
    rule: Rule,
    *,
    activation: AbstractActivation | None = Sigmoid(),  # noqa: B008
    start: Weights | None = None,
    penalty: AbstractPenalty | None = None,
) -> PlasticLearner:
    """One plastic layer whose output neurons were recorded: ``y = sigma(W x)``, no teaching signal.

    Every update is divided by the number of inputs.

    Args:
        inputs: number of input neurons.
        neurons: number of output neurons.
        rule: the plasticity rule.
        activation: of the output neurons; ``None`` for linear ones.
        start: initial weights, which are then fitted unless they are frozen; by default episodes bring them.
        penalty: on the coefficients of the rule.
    """
    network = MLP((inputs, neurons), readout=RecordedActivity(activation))
    return _replaying(network, _placed(rule, (1 / inputs,)), start, penalty)


def replaying_recurrent(
    inputs: int,
    neurons: int,
    rule: Rule,
    *,
    activation: AbstractActivation = Sigmoid(),  # noqa: B008
    start: Weights | None = None,
    penalty: AbstractPenalty | None = None,
) -> PlasticLearner:
    """Recorded neurons that reach one another, too: ``y_t = sigma(W x_t + V y_(t-1))``, one rule for both.

    Updates after every step are divided by the number of inputs, and by that of neurons. A trajectory is one sequence:
    support sets have a leading axis of one.

    Args:
        inputs: number of input neurons.
        neurons: number of recorded neurons.
        rule: the plasticity rule; of the synapses among the neurons, what is before is the activity one step ago.
        activation: of the neurons.
        start: initial ``W``, ``V`` and the identity, which reads the neurons out; by default episodes bring them.
        penalty: on the coefficients of the rule.

    Source: A. Pelevin, RNN_plasticity_inference, without masks, homeostasis and the readout of a decision.
    """
    layer = Recurrent(inputs, neurons, activation, tau=1.0, leak="activity")
    network = Sequential(layer, Dense(neurons, neurons), readout=RecordedActivity(None))
    return _replaying(network, _placed(rule, (1 / inputs, 1 / neurons, 1.0), plastic=2), start, penalty)


def replaying_choices(
    inputs: int,
    hidden: int,
    rule: Rule,
    *,
    start: Weights | None = None,
    penalty: AbstractPenalty | None = None,
) -> PlasticLearner:
    """One plastic hidden layer of ``tanh`` neurons; the logit of a choice is a weighted sum of them.

    Every update is divided by the number of inputs; the weights behind the hidden layer do not change.

    Args:
        inputs: number of input neurons.
        hidden: number of hidden neurons.
        rule: the plasticity rule of the hidden layer.
        start: initial weights of both layers, see ``choosing_start``; by default episodes bring them.
        penalty: on the coefficients of the rule.

    Source: Mehta et al. (2024), code.
    """
    network = MLP((inputs, hidden, 1), Tanh(), readout=BinaryCrossEntropy())
    return _replaying(network, _placed(rule, (1 / inputs, 1.0)), start, penalty)


def choosing_start(key: Key[Array, ""], inputs: int, hidden: int, sd: float = 0.01, output: float = 5.0) -> Weights:
    """Initial weights of a network that chooses: small random ones, and equal fixed ones behind the hidden layer."""
    return sd * jax.random.normal(key, (hidden, inputs)), jnp.full((1, hidden), output / hidden)


def as_model(learner: PlasticLearner, model: Model) -> PlasticLearner:
    """The learner with only that trained which a model fits; a rule that is not fitted is zero.

    Args:
        learner: with a start of its own where that is to be fitted.
        model: which one.

    Raises:
        ValueError: the start is to be fitted, and the learner has none.
    """
    if model in ("full", "weights") and learner.start is None:
        raise ValueError("initial weights can be fitted only where the learner has a start of its own")
    if model in ("weights", "null"):
        learner = freeze(eqx.tree_at(lambda it: it.rule, learner, silent(learner.rule)), lambda it: it.rule)
    if model in ("rule", "null") and learner.start is not None:
        learner = freeze(learner, lambda it: it.start)
    given = [number for number, active in enumerate(learner.rule.active or ()) if not any(active)]
    if model in ("full", "weights") and learner.start is not None and given:
        # What is behind the plastic connections is given.
        learner = freeze(learner, lambda it: [it.start[number] for number in given])
    return learner


def silent(rule: Rule) -> Rule:
    """The rule with all coefficients at zero: nothing changes."""
    zero = jax.tree.map(jnp.zeros_like, (rule.coefficients, rule.constants))
    return eqx.tree_at(lambda it: (it.coefficients, it.constants), rule, zero, is_leaf=lambda leaf: leaf is None)


def coefficients_of(rule: Rule) -> dict[str, float]:
    """The coefficients of a polynomial rule by name of the term; of a network none."""
    if not isinstance(rule.coefficients, GlobalCoefficients) or rule.held:
        return {}
    return {term.name: float(value) for term, value in zip(rule.terms, rule.coefficients.values, strict=True)}


def _placed(rule: Rule, gains: tuple[float, ...], plastic: int = 1) -> Rule:
    """The rule in the first connections only, with a factor for all of its updates in each."""
    active = rule.active or tuple((number < plastic,) * len(rule.terms) for number in range(len(gains)))
    gains = gains if rule.gains is None else rule.gains
    return Rule(rule.terms, rule.coefficients, active, rule.held, rule.constants, gains, rule.limit)


def _replaying(
    network: AbstractPlasticNetwork, rule: Rule, start: Weights | None, penalty: AbstractPenalty | None
) -> PlasticLearner:
    return PlasticLearner(
        network, rule, Symmetric(), start=start, penalty=penalty, prequential=True, every_step=network.has_time
    )
