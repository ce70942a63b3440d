"""Recognition of what was seen before along a stream, by fast synapses that change at every item.

Tyulmankov, Yang & Abbott, Meta-learning synaptic plasticity and memory addressing for continual familiarity detection,
Neuron 110, 2022.
"""

from collections.abc import Sequence
from itertools import product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from metaplax.feedback import Symmetric
from metaplax.learners.plastic_learner import PlasticLearner
from metaplax.learners.trainable import freeze
from metaplax.networks import BinaryCrossEntropy, Dense, Full, Heaviside, Instant, Layer, Sequential, Sigmoid, Summed
from metaplax.plasticity import AbstractTerm, Hebb, Outer, Rule, Scaled, WeightDecay, shared, term

DECAY = 0.01
"""``1 - lambda`` at the start."""

STRENGTH = 5.0
"""Size of ``eta`` at the start, times the number of inputs."""


def HebbFF(
    inputs: int,
    hidden: int,
    sign: int = 0,
    *,
    terms: Sequence[AbstractTerm] | None = None,
    uniform: bool = False,
) -> PlasticLearner:
    """A hidden layer whose fast synapses change at every item, whether it is familiar or not; a ``PlasticLearner``.

    ``a = (W + A) x + b``, ``h = sigmoid(a)``, ``p = sigmoid(v h + c)``, then ``A <- lambda A + eta h x^T``.
    Meta-learned are ``W``, ``b``, ``v``, ``c``, ``lambda`` and ``eta``; ``A`` is zero at the start of a stream. Answers
    are scored along the stream, each before what is learned from its item.

    Args:
        inputs: components of an item.
        hidden: hidden units.
        sign: that of ``eta``, -1 or 1, which stays; 0 leaves it free to change from minus.
        terms: other terms in place of the Hebbian one and the decay. The first one starts with the ``eta`` of HebbFF,
            decays as they do there, and all others at zero.
        uniform: whether hidden units share one bias and one weight to the output.

    Raises:
        ValueError: both a sign and terms are given, or the sign is another number.

    Source: Tyulmankov et al. (2022), and the published code.
    """
    if sign not in (-1, 0, 1) or (sign and terms is not None):
        raise ValueError("a sign, -1, 0 or 1, is that of HebbFF's own Hebbian term: give it, or other terms")
    first, last = Dense(inputs, hidden, Sigmoid(), bias=True, fast=True), Dense(hidden, 1, bias=True)
    if uniform:
        wiring = Full(inputs=inputs, outputs=hidden)
        first = Layer(wiring, Instant(Sigmoid(), offset=jnp.zeros(())), fast=wiring)
        last = Layer(Summed(inputs=hidden, outputs=1, bias=True), Instant())
    network, size = Sequential(first, last, readout=BinaryCrossEntropy(), drawn="normal"), STRENGTH / inputs
    if not sign:
        return _along_stream(network, (Hebb(), WeightDecay()) if terms is None else terms, -size, DECAY)
    hebbian = Scaled(Hebb(), size)
    made = _along_stream(network, (hebbian, WeightDecay()), float(sign), DECAY)
    return eqx.tree_at(lambda it: it.rule, made, made.rule.hold(hebbian.name))


def AddressedFamiliarity(address: int, stored: int, decay: float, bias: float) -> PlasticLearner:
    """The idealised memory, a ``PlasticLearner`` with all weights set by hand; see ``analysis.AddressedMemory``.

    Args:
        address: bits of an item that choose the hidden unit in which it is stored, the first ones.
        stored: bits that are stored.
        decay: factor of the fast weights at every item.
        bias: of the hidden units.

    Source: Tyulmankov et al. (2022), the idealised network.
    """
    units, size = 2**address, address + stored
    first, beside = Full(inputs=size, outputs=units, bias=True), Full(inputs=size, outputs=units)
    network = Sequential(
        Layer(first, Instant(Heaviside()), fast=beside),
        Layer(Summed(inputs=units, outputs=1, bias=True), Instant()),
        readout=BinaryCrossEntropy(),
    )
    is_stored = np.arange(size) >= address
    store = term("stored", lambda s: Outer(s.post, jnp.where(is_stored, s.pre, 0.0)), "yₗ xₗ₋₁ᵀ")
    made = _along_stream(network, (store, WeightDecay()), -1.0, 1 - decay)
    signs = np.asarray(list(product((-1.0, 1.0), repeat=address)))
    slow = stored * np.concatenate([signs, np.zeros((units, stored)), np.full((units, 1), bias)], axis=1)
    weights = jnp.asarray(slow, float), made.start[1], jnp.array([[-1.0, 0.5]])  # pyright: ignore
    return freeze(eqx.tree_at(lambda it: it.start, made, weights), lambda it: it.start)


def _along_stream(network: Sequential, terms: Sequence[AbstractTerm], first: float, decay: float) -> PlasticLearner:
    """A network whose fast synapses change by a sum of terms: the first one's coefficient, decays', and zero."""
    initial = [first, *(decay if isinstance(term, WeightDecay) else 0.0 for term in terms[1:])]
    fast = network.fast_connections
    active = tuple((number in fast,) * len(terms) for number in range(len(network.connections)))
    rule = Rule(tuple(terms), shared(initial), active)
    made = PlasticLearner(network, rule, Symmetric(), start=network.init(jax.random.key(0)), prequential=True)
    return freeze(made, lambda it: [it.start[number] for number in fast])
