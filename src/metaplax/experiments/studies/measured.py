"""What a function measures in every trial, in one step: for networks and memories that nothing is meta-learned of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from metaplax.experiments.base import AbstractStudy, Conditions
from metaplax.experiments.studies.trials import conduct_trials, drawn, size_of
from metaplax.runs import fingerprint
from metaplax.tasks import AbstractTask


@dataclass(frozen=True)
class Measured(AbstractStudy):
    """One measurement per trial.

    Attributes:
        measure: from what is given and the key of a trial to what is recorded, by name. A dataclass that can be called
            shows its fields in the fingerprint.
        given: what it is given. The arrays and numbers in it are arguments of the compiled program, and of every task
            in it each trial has a draw of its own.
    """

    measure: Callable[[Any, Key[Array, ""]], dict[str, Array]]
    given: PyTree = ()

    @property
    def steps(self) -> int:
        return 1

    @property
    def fingerprint(self) -> str:
        return fingerprint((self.measure, self.given))

    def check(self) -> None:
        key = jax.random.key(0)
        eqx.filter_eval_shape(lambda given: self.measure(drawn(given, key), key), self.given)

    def memory(self, trials: int) -> int:
        is_task = lambda node: isinstance(node, AbstractTask)  # noqa: E731
        tasks = filter(is_task, jax.tree.leaves(self.given, is_leaf=is_task))
        return trials * size_of(lambda: [task.sample(jax.random.key(0)) for task in tasks])

    def conduct(self, conditions: Conditions) -> None:
        def one_trial(given: Any, index: Array, state: PyTree, key: Key[Array, ""]) -> tuple[PyTree, dict[str, Array]]:
            del index
            return state, self.measure(given, key)

        conduct_trials(conditions, one_trial, self.given, jnp.zeros(conditions.trials), 1)
        conditions.recorder.finish(1, {})
