"""An inner loop that is differentiated by running it backwards.

Going forward, every step leaves behind the results of its products with matrices: vectors only. Going back,
they give the changes that were made; these are undone, which recovers the weights before the step, and then
the derivative of the step follows. The adjoint of the weights changes by outer products too, so every step
passes once over each matrix to change it, and reads it once per matrix-vector product.
"""

from collections.abc import Callable
from math import ceil
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from metaplax.estimators.dependence import used_inputs
from metaplax.estimators.unrolled import count_steps, in_chunks
from metaplax.learners import AbstractInvertibleLearner, InnerStep, plain_loop
from metaplax.plasticity import apply, is_replaced, merge, pull_back, undo


class Residuals(eqx.Module):
    """A tree of arrays, less those leaves that will be given again when the tree is rebuilt.

    Whether a leaf is one of the given ones is decided by identity, so the two must come from one trace. A leaf
    that occurs more than once is kept once.
    """

    kept: list[Array]
    sources: tuple[tuple[bool, int], ...] = eqx.field(static=True)
    structure: Any = eqx.field(static=True)

    def __init__(self, tree: PyTree, given: PyTree):
        leaves, self.structure = jax.tree.flatten(tree)
        where = {id(leaf): (True, index) for index, leaf in enumerate(jax.tree.leaves(given))}
        self.kept, sources = [], []
        for leaf in leaves:
            if id(leaf) not in where:
                where[id(leaf)] = (False, len(self.kept))
                self.kept.append(leaf)
            sources.append(where[id(leaf)])
        self.sources = tuple(sources)

    def rebuild(self, given: PyTree) -> PyTree:
        """The tree, with what stands in the place of the given leaves now."""
        known = jax.tree.leaves(given)
        return jax.tree.unflatten(
            self.structure, [known[index] if is_given else self.kept[index] for is_given, index in self.sources]
        )


class Pass(eqx.Module):
    """What the forward pass over one stretch of steps leaves behind.

    ``replaced`` are the arrays before every step that another takes the place of, so that they cannot be had by undoing
    anything. ``changes`` are kept only if they cannot be had from ``pullbacks`` without knowing the weights.
    """

    start: PyTree
    pullbacks: Residuals
    replaced: PyTree
    changes: Residuals | None


@eqx.filter_custom_vjp
def reversible_loop(active: tuple[InnerStep, PyTree], inputs: PyTree, anchor_every: int) -> PyTree:
    """Run an inner loop of a step and a state that, when it is differentiated, is run backwards.

    The changes of the step must be such that they can be undone. The state is kept about every ``anchor_every`` steps,
    so that rounding errors do not add up.
    """
    del anchor_every
    step, state = active
    return plain_loop(step, state, inputs)


@reversible_loop.def_fwd
def _loop_forward(perturbed, active, inputs, anchor_every):
    step, state = active
    mask = _active_mask(perturbed, step, state, inputs)
    stretches, rest = in_chunks(inputs, stretch_length(inputs, anchor_every))
    taken = last = None
    if stretches is not None:
        state, taken = jax.lax.scan(lambda state, inputs: forward(step, state, inputs, mask), state, stretches)
    if rest is not None:
        state, last = forward(step, state, rest, mask)
    return state, (state, taken, last)


@reversible_loop.def_bwd
def _loop_backward(residuals, end_bar, perturbed, active, inputs, anchor_every):
    step, state = active
    mask = _active_mask(perturbed, step, state, inputs)
    stretches, rest = in_chunks(inputs, stretch_length(inputs, anchor_every))
    end, taken, last = residuals
    end_bar = jax.tree.map(lambda x, bar: jnp.zeros_like(x) if bar is None else bar, end, end_bar)
    bars = jax.tree.map(jnp.zeros_like, eqx.filter(step, mask[0])), eqx.filter(end_bar, mask[1])
    if last is not None:
        end, bars = backward(step, end, bars, rest, last, mask)
    if taken is not None:
        (_, bars), _ = jax.lax.scan(
            lambda carry, xs: (backward(step, *carry, *xs, mask), None), (end, bars), (stretches, taken), reverse=True
        )
    return bars


def stretch_length(inputs: PyTree, anchor_every: int) -> int:
    """Steps between two anchors: at most as many as asked for, in stretches as equal as can be."""
    steps = count_steps(inputs)
    return max(1, steps // max(1, ceil(steps / anchor_every)))


def forward(step: InnerStep, start: PyTree, inputs: PyTree, mask: PyTree) -> tuple[PyTree, Pass]:
    """One stretch forward: the state at its end, and what the way back needs."""

    def body(state, inputs):
        changes, pullback = differentiated(step, state, inputs, mask)
        kept = Residuals(pullback, (step, inputs, state))
        replaced = jax.tree.map(lambda leaf, updates: leaf if is_replaced(updates) else None, state, changes)
        if _needs_state(kept, step, inputs, state, replaced):
            return _advance(state, changes), (kept, replaced, Residuals(changes, (step, inputs)))
        return _advance(state, changes), (kept, replaced, None)

    end, records = jax.lax.scan(body, start, inputs)
    return end, Pass(start, *records)


def backward(
    step: InnerStep, end: PyTree, bars: PyTree, inputs: PyTree, taken: Pass, mask: PyTree
) -> tuple[PyTree, PyTree]:
    """One stretch backwards, from the state at its end and the cotangents of the step and of that state, ``bars``.

    Gives the state at the start, and the cotangents there. ``mask`` says which leaves have any.
    """

    def body(carry, this):
        after, (step_bar, after_bar) = carry
        inputs, pullbacks, replaced, changes = this
        known = eqx.combine(replaced, after)
        changes = _changes_again(pullbacks, step, inputs, known) if changes is None else changes.rebuild((step, inputs))
        before = jax.tree.map(
            lambda leaf, updates: leaf if is_replaced(updates) else undo(leaf, updates), known, changes
        )
        before_bar, changes_bar = _pull_back(before, changes, after_bar)
        more = pullbacks.rebuild((step, inputs, before)).derivative(changes_bar)
        return (before, jax.tree.map(jnp.add, (step_bar, before_bar), more)), None

    (_, bars), _ = jax.lax.scan(
        body, (end, bars), (inputs, taken.pullbacks, taken.replaced, taken.changes), reverse=True
    )
    # Not what was recovered but what was kept: the rounding errors of this stretch end here.
    return taken.start, bars


class Pullback(eqx.Module):
    """The derivative of a step's changes, which also knows what the changes were.

    ``pull`` belongs to a function of step, state and a zero for every change. It returns the changes, and the sum
    of the zeros times the changes, whose derivative with respect to a zero is that change: computed from the
    kept products like everything else in a derivative.
    """

    pull: Callable
    shapes: PyTree = eqx.field(static=True)

    def derivative(self, changes_bar: PyTree) -> PyTree:
        """Cotangents of step and state."""
        return self.pull((changes_bar, jnp.zeros(())))[0]

    def changes(self) -> PyTree:
        """What the step changed."""
        return _arrays(self.pull((_zeros(self.shapes), jnp.ones(())))[1])


def differentiated(step: InnerStep, state: PyTree, inputs: PyTree, mask: PyTree) -> tuple[PyTree, Pullback]:
    """The changes of one step and their pullback."""
    active, rest = eqx.partition((step, state), mask)

    def merged(active, zeros, rest, inputs):
        step, state = eqx.combine(active, rest)
        changes = _merged_updates(step, state, inputs)
        shadows = jax.tree.map(lambda zero, change: jnp.sum(zero * jax.lax.stop_gradient(change)), zeros, changes)
        return changes, sum(jax.tree.leaves(shadows), start=jnp.zeros(()))

    # Its derivative keeps the results of matrix products and computes the rest again.
    merged = eqx.filter_checkpoint(merged, policy=jax.checkpoint_policies.dots_saveable, prevent_cse=False)
    shapes = eqx.filter_eval_shape(_merged_updates, step, state, inputs)
    zeros = _zeros(shapes)
    (changes, _), pull = jax.vjp(lambda active, zeros: merged(active, zeros, rest, inputs), active, zeros)
    return _arrays(changes), Pullback(pull, shapes)


def _arrays(changes: PyTree) -> PyTree:
    """The same changes; one that is a constant, the same at every step, comes out of a trace as a literal."""
    return jax.tree.map(jnp.asarray, changes)


def _zeros(shapes: PyTree) -> PyTree:
    return jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)


def _changes_again(pullbacks: Residuals, step: InnerStep, inputs: PyTree, state: PyTree) -> PyTree:
    return pullbacks.rebuild((step, inputs, state)).changes()


def _needs_state(pullbacks: Residuals, step: InnerStep, inputs: PyTree, state: PyTree, replaced: PyTree) -> bool:
    """Whether the state itself, not just its products with vectors and what is kept of it, enters the changes."""
    known, rest = eqx.partition((pullbacks, step, inputs), eqx.is_array)

    def changes(known, state):
        pullbacks, step, inputs = eqx.combine(known, rest)
        return _changes_again(pullbacks, step, inputs, state)

    used = used_inputs(jax.make_jaxpr(changes)(known, state).jaxpr)
    is_kept = [leaf is not None for leaf in jax.tree.leaves(replaced, is_leaf=lambda leaf: leaf is None)]
    return any(use and not kept for use, kept in zip(used[-len(is_kept) :], is_kept, strict=True))


def _pull_back(before: PyTree, changes: PyTree, after_bar: PyTree) -> tuple[PyTree, PyTree]:
    """Cotangents of the state before the changes and of the changes; ``None`` stands for a leaf without one."""
    weights, structure = jax.tree.flatten(before)
    leaves = zip(weights, *map(structure.flatten_up_to, (changes, after_bar)), strict=True)
    pairs = [(None, updates) if bar is None else pull_back(weight, updates, bar) for weight, updates, bar in leaves]
    befores, updates = zip(*pairs, strict=True)
    return jax.tree.unflatten(structure, befores), jax.tree.unflatten(structure, updates)


def _active_mask(perturbed: tuple[PyTree, PyTree], step: InnerStep, state: PyTree, inputs: PyTree) -> PyTree:
    """Which leaves of step and state have a cotangent: those differentiated for, and whatever changes."""
    first = jax.tree.map(lambda x: x[0], inputs)
    changes = eqx.filter_eval_shape(_merged_updates, step, state, first)
    changing = jax.tree.map(lambda is_perturbed, updates: bool(is_perturbed or updates), perturbed[1], changes)
    return jax.tree.map(bool, perturbed[0]), changing


def _merged_updates(step: InnerStep, state: PyTree, inputs: PyTree) -> PyTree:
    """The changes of one step, in as few updates as possible."""
    learner, (example, index) = step.learner, inputs
    assert isinstance(learner, AbstractInvertibleLearner)
    changes = learner.updates(state, example, jax.random.fold_in(step.key, index))
    return jax.tree.map(lambda _, updates: merge(updates), state, changes)


def _advance(state: PyTree, changes: PyTree) -> PyTree:
    return jax.tree.map(apply, state, changes)
