"""Studies of a meta-trained learner somewhere else: other classes, other data, another network."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from metaplax.experiments.base import AbstractStudy, AbstractTraining, Conditions
from metaplax.learners import AbstractLearner, join, split
from metaplax.plasticity import PrintedTerm
from metaplax.runs import Step
from metaplax.tasks import AbstractTask
from metaplax.training import choose_layout, resample_key

TUNING = 1 << 20
"""Index of the first episode that learning rates are tuned on, far from those that are scored."""


def taken_over(
    conditions: Conditions, origin: str, training: AbstractTraining, learner: AbstractLearner
) -> tuple[PyTree, PyTree]:
    """What a study has meta-learned, with a leading axis of trials, in the structure of a learner; and its constants.

    Args:
        conditions: of the study that uses it.
        origin: name of the study that meta-trains.
        training: that study.
        learner: what takes over the parameters; its own are ignored.
    """
    own, constants = split(learner)
    found = jax.tree.leaves(training.trained(conditions.sibling(origin), conditions.keys()))
    return jax.tree.unflatten(jax.tree.structure(own), found), constants


@dataclass(frozen=True)
class Transfer(AbstractStudy):
    """What a study has meta-learned, as it is, on episodes of another task.

    Every trial uses what its own meta-training has found.

    Attributes:
        origin: name of the study that meta-trains.
        training: that study.
        learner: the learner that takes over the meta-learned parameters; its own are ignored.
        task: distribution of episodes.
        episodes: how many are scored.
        factors: if there are several, all parameters are multiplied by the one of them that is best on average on
            other episodes of the same task: the learning rate is tuned.
        tuning_episodes: how many such episodes per factor and trial.
    """

    origin: str
    training: AbstractTraining
    learner: AbstractLearner
    task: AbstractTask
    episodes: int
    factors: tuple[float, ...] = (1.0,)
    tuning_episodes: int = 2

    @property
    def steps(self) -> int:
        return self.episodes

    @property
    def fingerprint(self) -> str:
        return f"{self.origin} on {eqx.tree_pformat(self.learner)}"

    def check(self) -> None:
        self.learner.check(jax.eval_shape(self.task.sample, jax.random.key(0)), self.task.classes)

    def printed(self) -> tuple[PrintedTerm, ...]:
        return self.learner.printed()

    def conduct(self, conditions: Conditions) -> None:
        keys = conditions.keys()
        learned, constants = taken_over(conditions, self.origin, self.training, self.learner)
        layout = choose_layout(conditions.trials)
        arrays, statics = eqx.partition(self.task, eqx.is_array)

        def one_trial(arrays: PyTree, index: Array, parameters: PyTree, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
            task = eqx.combine(arrays, statics).resample(resample_key(key))
            task_key, learner_key = jax.random.split(jax.random.fold_in(key, index))
            loss, metrics = join(parameters, constants).run(task.sample(task_key), learner_key)
            return parameters, {"loss": loss, **metrics}

        take = jax.jit(layout.trials(one_trial)).lower(arrays, jnp.int32(0), learned, keys).compile()

        def step(index: int, parameters: PyTree) -> tuple[PyTree, dict[str, Array]]:
            return take(arrays, jnp.int32(index), parameters, keys)

        factor = self._tuned(step, learned)
        conditions.run_steps(lambda _: step, jax.tree.map(lambda leaf: factor * leaf, learned), self.episodes)
        conditions.recorder.finish(self.episodes, {"factor": np.full(conditions.trials, factor)})

    def _tuned(self, step: Step, learned: PyTree) -> float:
        if len(self.factors) == 1:
            return self.factors[0]
        scores = []
        for factor in self.factors:
            parameters = jax.tree.map(lambda leaf, factor=factor: factor * leaf, learned)
            found = [step(TUNING + index, parameters)[1]["accuracy"] for index in range(self.tuning_episodes)]
            scores.append(float(jnp.mean(jnp.nan_to_num(jnp.stack(found)))))
        return self.factors[int(np.argmax(scores))]
