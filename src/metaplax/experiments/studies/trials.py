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
from metaplax.training.layout import compile_step

OneTrial = Callable[[Any, Int[Array, ""], PyTree, Key[Array, ""]], tuple[PyTree, dict[str, Array]]]
"""What a study does in a step, ``one_trial``: from the task of a trial, the index of the step, the state before it and
the key of the trial to the state after it and what to record."""


def with_arrays(one_trial: Callable[..., Any], task: PyTree) -> tuple[PyTree, Callable[..., Any]]:
    """The arrays of a task, and the step of one trial as a function of these, so that they are no constants of it.

    Args:
        one_trial: a function of the task of a trial, the index of the step, the state before it, and the key.
        task: a task, of which every trial gets its own draw, or anything else that contains arrays.
    """
    arrays, constants = eqx.partition(task, eqx.is_array)

    def step(arrays: PyTree, index: Int[Array, ""], state: PyTree, key: Key[Array, ""]) -> Any:
        given = eqx.combine(arrays, constants)
        drawn = given.resample(resample_key(key)) if isinstance(given, AbstractTask) else given
        return one_trial(drawn, index, state, key)

    return arrays, step


def compiled(one_trial: OneTrial, task: PyTree, keys: Key[Array, " trials"], state: PyTree) -> Step:
    """Compile the step of one trial into one of all trials, given a task as for ``with_arrays``.

    It takes and gives states padded by the layout, of the same shapes as ``state``.
    """
    arrays, step = with_arrays(one_trial, task)
    return compile_step(choose_layout(len(keys)), step, arrays, keys, state)


def conduct_trials(conditions: Conditions, one_trial: OneTrial, task: PyTree, state: PyTree, steps: int) -> PyTree:
    """Take all steps of all trials, from the recorder's last checkpoint on, with a task as for ``with_arrays``.

    The state before the first step is given and that after the last one returned, with a leading axis of trials.
    """
    step = partial(compiled, one_trial, task, conditions.keys())
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
