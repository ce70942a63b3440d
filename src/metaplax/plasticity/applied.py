"""A term applied to one connection: at every position of an image, and over the steps of a sequence."""

from dataclasses import fields
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from metaplax.plasticity.memory import AbstractMemoryTerm, Eligibility, called, started
from metaplax.plasticity.signals import Signals
from metaplax.plasticity.terms import AbstractTerm
from metaplax.plasticity.totals import blocks, total
from metaplax.plasticity.updates import AbstractUpdate

SHARED = ("weight", "modulator", "key")
"""Signals that are the same at all positions."""


class Positions(eqx.Module):
    """The positions of an image that a connection has synapses at.

    Attributes:
        count: how many.
        shared: whether they have the same weights; if not, the rows of the weights are positions times neurons.
    """

    count: int = eqx.field(static=True)
    shared: bool = eqx.field(static=True)


def first_memory(term: AbstractTerm, shape: tuple[int, int], positions: Positions | None) -> PyTree:
    """Memory of a term before it is used: for every position, as it has neurons of its own.

    Args:
        term: any term; one without memory gets ``()``.
        shape: of the weights.
        positions: where there are synapses; ``None`` if everything is seen at once.
    """
    post, pre = shape
    if positions is None:
        return started(term, post, pre)
    one = started(term, post if positions.shared else post // positions.count, pre)
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (positions.count, *leaf.shape)), one)


def in_one_step(
    term: AbstractTerm, signals: Signals, memory: PyTree, positions: Positions | None = None
) -> tuple[AbstractUpdate, PyTree]:
    """The update of one step of time, and the term's memory after it.

    Args:
        term: any term.
        signals: of the connection; with an axis of positions in front, except the weights, modulators and key.
        memory: of the term.
        positions: where there are synapses; ``None`` if everything is seen at once.
    """
    if positions is None:
        return called(term, signals, memory)
    moving, still = _split(signals, SHARED)
    if not positions.shared:
        moving["weight"] = signals.weight.reshape(positions.count, -1, signals.weight.shape[1])
        del still["weight"]
    one = lambda moving, memory: called(term, Signals(**moving, **still), memory)  # noqa: E731
    updates, memory = jax.vmap(one)(moving, memory)
    if positions.shared:
        return total(updates, positions.count), memory
    return blocks(updates, signals.post.shape[-1]), memory


def over_sequence(
    term: AbstractTerm, signals: Signals, memory: PyTree, positions: Positions | None = None
) -> tuple[AbstractUpdate, PyTree]:
    """The sum of the updates of all steps of time, with weights that do not change between them.

    Args:
        term: any term.
        signals: of the connection; with an axis of time in front, and then one of positions, if there are any. The
            weights have neither, the modulators and the key no axis of positions.
        memory: of the term.
        positions: where there are synapses; ``None`` if everything is seen at once.

    Returns:
        the update, and the memory after the last step.
    """
    steps = signals.post.shape[0]
    # A gate of its own at every position of an image is known only where the updates are not yet added up.
    is_early = positions is None or not positions.shared
    if isinstance(term, Eligibility) and (is_early or term.gate != "post_signal"):
        updates, inner = _in_every_step(term.term, signals, memory[1], positions)
        gated = jax.vmap(lambda update, gate: update.scaled(gate.reshape(-1) if gate.ndim else gate))
        return total(gated(updates, term.waiting(signals, steps)), steps), (memory[0], inner)
    updates, memory = _in_every_step(term, signals, memory, positions)
    return total(updates, steps), memory


def _in_every_step(
    term: AbstractTerm, signals: Signals, memory: PyTree, positions: Positions | None
) -> tuple[AbstractUpdate, PyTree]:
    """The updates of all steps of time, along a new axis in front, and the memory after the last one."""
    moving, still = _split(signals, ("weight",))
    at = lambda moving: Signals(**moving, **still)  # noqa: E731
    if not isinstance(term, AbstractMemoryTerm):
        return jax.vmap(lambda moving: in_one_step(term, at(moving), (), positions)[0])(moving), memory

    def one(memory: PyTree, moving: dict[str, Any]) -> tuple[PyTree, AbstractUpdate]:
        update, memory = in_one_step(term, at(moving), memory, positions)
        return memory, update

    memory, updates = jax.lax.scan(one, memory, moving)
    return updates, memory


def _split(signals: Signals, names: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The signals by name, those with these names apart; those that are not there are left out."""
    found = {field.name: getattr(signals, field.name) for field in fields(signals)}
    found = {name: value for name, value in found.items() if value is not None}
    return {n: v for n, v in found.items() if n not in names}, {n: v for n, v in found.items() if n in names}
