"""Compiled programs of steps, in which numbers are arguments: what differs in its numbers only is compiled once."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import eval_jaxpr
from jax.extend.core import Literal, Var
from jaxtyping import Array, Key, PyTree

from metaplax.learners import AbstractLearner
from metaplax.learners.trainable import with_plain_numbers_frozen
from metaplax.runs import Step
from metaplax.runs.compilation_cache import keep_programs
from metaplax.training.layout import AbstractLayout

OneTrial = Callable[[Any, Any, Any, Any], PyTree]
"""``one_trial(given, index, state, key)``: the next state of a trial, and what to record."""

MOST = 8
"""Compiled programs that a process remembers, besides those that are in use."""

_remembered: OrderedDict[bytes, Any] = OrderedDict()


class TracedUpdate(eqx.Module):
    """The update of an outer optimiser as a pytree, whose leaves are the numbers in it, such as learning rates.

    Numbers keep the values that the optimiser has computed of them, so that its updates are the same.
    """

    numbers: list[Array | np.ndarray]
    program: Any = eqx.field(static=True)
    shape: PyTree = eqx.field(static=True)

    def __init__(self, update: Callable, *arguments: PyTree):
        """Trace an update, given arguments of it or their shapes."""
        program, self.shape = jax.make_jaxpr(update, return_shape=True)(*arguments)
        numbers, variables = list(program.consts), list(program.jaxpr.constvars)

        def named(atom: Any) -> Any:
            kind: Any = atom.aval
            if not isinstance(atom, Literal) or not jnp.issubdtype(kind.dtype, jnp.inexact):
                return atom
            numbers.append(np.asarray(atom.val, kind.dtype))
            variables.append(Var(kind))
            return variables[-1]

        equations = [equation.replace(invars=[named(atom) for atom in equation.invars]) for equation in program.eqns]
        self.numbers, self.program = numbers, program.jaxpr.replace(constvars=variables, eqns=equations)

    def update(self, *arguments: PyTree) -> PyTree:
        """As that of Optax."""
        found = eval_jaxpr(self.program, self.numbers, *jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(self.shape), found)


def compile_step(
    layout: AbstractLayout,
    function: OneTrial,
    given: PyTree,
    keys: PyTree,
    state: PyTree,
    *,
    donate: bool = False,
) -> Step:
    """Compile the step of one trial into one of all trials, for ``run_steps``.

    ``function(given, index, state, key)`` of one trial gives its next state and what to record. Arrays and numbers in
    what is ``given`` to all trials are arguments of the program. A trial may have more of its own than its key: then
    ``keys`` is a tree with a leading axis of trials. The ``state`` is padded; its shapes are compiled for, and with
    ``donate`` its memory is used again.
    """
    padded = layout.pad(keys)
    arguments, program, structure = _traced_with_numbers(layout, function, given, padded, state, donate)
    take = compile_once(program)

    def step(index: int, state: PyTree) -> tuple[PyTree, dict[str, Array]]:
        found = take(arguments, np.int32(index), jax.tree.leaves(state), padded)
        state, row = jax.tree.unflatten(structure, found)
        return state, layout.unpad(row)

    return step


def text_of(
    layout: AbstractLayout, function: OneTrial, given: PyTree, keys: Key[Array, " trials"], state: PyTree
) -> str:
    """The text of the program that ``compile_step`` compiles, without its numbers."""
    return _traced_with_numbers(layout, function, given, layout.pad(keys), state, False)[1].lower().as_text()


def _traced_with_numbers(
    layout: AbstractLayout, function: OneTrial, given: PyTree, keys: PyTree, state: PyTree, donate: bool
) -> tuple[list, Any, Any]:
    """As ``_traced``, with all numbers as arguments."""
    given = frozen_numbers(given)
    try:
        return _traced(layout, function, given, is_number, keys, state, donate)
    except Exception:
        # A learner may decide by its numbers what it does, in Python: then they are constants.
        return _traced(layout, function, given, eqx.is_array, keys, state, donate)


def frozen_numbers(given: PyTree) -> Any:
    """The same tree, in whose learners plain numbers are not meta-learned when arrays take their place."""
    return jax.tree.map(_freezing, given, is_leaf=_is_learner)


def is_number(leaf: Any) -> bool:
    """Whether a leaf is an argument of a program: any array, and a number other than zero, which leaves things out."""
    return eqx.is_array(leaf) or (type(leaf) is float and leaf != 0)


def _is_learner(node: Any) -> bool:
    return isinstance(node, AbstractLearner)


def _freezing(node: Any) -> Any:
    return with_plain_numbers_frozen(node) if _is_learner(node) else node


def _traced(
    layout: AbstractLayout,
    function: OneTrial,
    given: PyTree,
    chosen: Callable,
    keys: PyTree,
    state: PyTree,
    donate: bool,
) -> tuple[list, Any, Any]:
    """The arguments that were chosen, the program of flat arguments and results, and the structure of the results."""
    numbers, rest = eqx.partition(given, chosen)
    arguments, shape = jax.tree.flatten(layout.hand_out(numbers))
    results = jax.tree.structure(0)

    def flat(arguments: list, index: Array, state_leaves: list, keys: PyTree) -> list:
        def one_trial(arguments: list, *others: Any) -> PyTree:
            return function(eqx.combine(jax.tree.unflatten(shape, arguments), rest), *others)

        before = jax.tree.unflatten(jax.tree.structure(state), state_leaves)
        found = layout.trials(one_trial)(arguments, index, before, keys)
        nonlocal results
        leaves, results = jax.tree.flatten(found)
        return leaves

    # Said, as a part of the state that is not used would be kept elsewhere than where the program leaves it.
    places = (None, None, layout.by_trial, layout.by_trial)
    program = jax.jit(flat, in_shardings=places, donate_argnums=2 if donate else (), keep_unused=True)
    traced = program.trace(arguments, np.int32(0), jax.tree.leaves(state), keys)
    return arguments, traced, results


def compile_once(traced: Any) -> Any:
    """Compile what ``jax.jit(...).trace(...)`` gives, unless a program of the same text is remembered."""
    keep_programs()
    lowered = traced.lower()
    text = lowered.as_text()
    # Programs that call Python look alike although they call different functions.
    if "callback" in text:
        return lowered.compile()
    device = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    key = hashlib.sha256(f"{jax.config.values} {device} {text}".encode()).digest()
    if key not in _remembered:
        _remembered[key] = lowered.compile()
        if len(_remembered) > MOST:
            _remembered.popitem(last=False)
    _remembered.move_to_end(key)
    return _remembered[key]


def forget() -> None:
    """Remember no compiled program any more."""
    _remembered.clear()
