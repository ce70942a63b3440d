"""Runs the steps of a study in all trials, given what one trial does in a step."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Int, Key, PyTree

from metaplax.experiments.base import Conditions
from metaplax.experiments.operations import operations
from metaplax.learners import AbstractLearner
from metaplax.runs import Step
from metaplax.tasks import AbstractTask
from metaplax.training import choose_layout, resample_key
from metaplax.training.programs import compile_step

OneTrial = Callable[[Any, Int[Array, ""], PyTree, Key[Array, ""]], tuple[PyTree, dict[str, Array]]]
"""What a study does in a step, ``one_trial``: from what is given to a trial, the index of the step, the state before it
and the key of the trial to the state after it and what to record."""


def drawn(given: PyTree, key: Key[Array, ""]) -> Any:
    """What is given to the trial with this key: of every task in it, the trial has its own draw."""
    is_task = lambda node: isinstance(node, AbstractTask)  # noqa: E731
    draw = lambda node: node.resample(resample_key(key)) if is_task(node) else node  # noqa: E731
    return jax.tree.map(draw, given, is_leaf=is_task)


def compiled(one_trial: OneTrial, given: PyTree, keys: Key[Array, " trials"], state: PyTree) -> Step:
    """Compile the step of one trial into one of all trials.

    It takes and gives states padded by the layout, of the same shapes as ``state``.

    Args:
        one_trial: what a trial does in a step.
        given: what it is given, before ``drawn``: a task, a learner and a task, or the like. The arrays and numbers in
            it are arguments of the program, so that studies that differ in these only share it.
        keys: one per trial.
        state: before the first step.
    """

    def step(given: Any, index: Int[Array, ""], state: PyTree, key: Key[Array, ""]) -> Any:
        return one_trial(drawn(given, key), index, state, key)

    return compile_step(choose_layout(len(keys)), step, given, keys, state)


def conduct_trials(conditions: Conditions, one_trial: OneTrial, given: PyTree, state: PyTree, steps: int) -> PyTree:
    """Take all steps of all trials, from the recorder's last checkpoint on, with what is given as for ``compiled``.

    The state before the first step is given and that after the last one returned, with a leading axis of trials.
    """
    step = partial(compiled, one_trial, given, conditions.keys())
    return conditions.run_steps(step, state, steps, padded=True)


def size_of(make: Callable[[], PyTree]) -> int:
    """Bytes of the arrays that a function returns; it is traced, and nothing is computed."""
    leaves = jax.tree.leaves(jax.eval_shape(lambda: eqx.filter(make(), eqx.is_array)))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


def size_of_episode(learner: AbstractLearner, task: AbstractTask) -> int:
    """Bytes of an episode, and of the state of a learner in it."""
    key = jax.random.key(0)
    return size_of(lambda: (task.sample(key), learner.init(key)))


def operations_of_episode(learner: AbstractLearner, task: AbstractTask) -> int:
    """Floating-point operations of an episode without any meta-gradient, at the least.

    Raises:
        IncompatibleError: learner and task do not fit together.
    """
    key = jax.random.key(0)
    learner.check(jax.eval_shape(task.sample, key), task.classes)
    return operations(lambda: learner.run(task.sample(key), key)[0])


def best_of(options: Sequence[float], score: Callable[[float], float]) -> float:
    """The option with the highest score, the first one if there are several; a single option is not scored."""
    return options[0] if len(options) == 1 else max(options, key=score)
