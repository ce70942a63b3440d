"""Studies that draw one task before and after adaptation: what spiked, and what was said."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from metaplax.experiments.base import AbstractStudy, AbstractTraining, Conditions
from metaplax.experiments.studies.transfer import taken_over
from metaplax.learners import EnergyState, SpikingLearner, join
from metaplax.learners.energy.inner_gradient import record
from metaplax.tasks import AbstractSpikingTask
from metaplax.tasks.spike_regression import Picture

SHOWN = 4
"""Neurons whose voltages are kept."""


@dataclass(frozen=True)
class ExampleTask(AbstractStudy):
    """One task as the first trial's network sees it, before and after adaptation; kept beside the rows.

    Attributes:
        origin: name of the study that meta-trains.
        training: that study.
        learner: the learner that takes over the meta-learned parameters.
        task: the task.
    """

    origin: str
    training: AbstractTraining
    learner: SpikingLearner
    task: AbstractSpikingTask

    @property
    def steps(self) -> int:
        return 0

    @property
    def fingerprint(self) -> str:
        return f"example_task of {self.origin} with {eqx.tree_pformat(self.learner)}"

    def check(self) -> None:
        self.learner.check(jax.eval_shape(self.task.sample, jax.random.key(0)), self.task.classes)

    def conduct(self, conditions: Conditions) -> None:
        learned, constants = taken_over(conditions, self.origin, self.training, self.learner)
        learner = join(jax.tree.map(lambda leaf: leaf[0], learned), constants)
        assert isinstance(learner, SpikingLearner)
        conditions.recorder.attach(f"example_tasks/{self.origin}.json", self._drawn(learner, conditions.key))
        conditions.recorder.finish(0, {})

    def _drawn(self, learner: SpikingLearner, key: Key[Array, ""]) -> dict[str, Any]:
        task_key, learner_key = jax.random.split(key)
        picture = jax.jit(self.task.picture)(task_key)
        start = learner.init(learner_key)
        end = jax.jit(lambda state: learner.adapt(state, picture.support, learner_key))(start)
        return {
            "axis": self.task.axis,
            "places": picture.places.tolist(),
            "target": picture.target.tolist(),
            "support_places": picture.support_places.tolist(),
            "support_target": picture.support_target.tolist(),
            "dt": learner.network.dt,
            "threshold": learner.network.threshold,
            "before": _seen(learner, start, picture),
            "after": _seen(learner, end, picture),
        }


def _seen(learner: SpikingLearner, state: EnergyState, picture: Picture) -> dict[str, Any]:
    """What the network says all along the axis, and its spikes and some voltages in one sample."""
    recording = record(learner.network, state.fast, picture.x)
    each_step = len(picture.x) == 1
    said = recording.outputs[:, 0, 0] if each_step else jnp.mean(recording.outputs[..., 0], 0)
    middle = len(picture.x) // 2
    times, neurons = np.nonzero(np.asarray(recording.spikes[:, middle]))
    busiest = np.argsort(-np.asarray(recording.spikes.sum((0, 1))), kind="stable")[:SHOWN]
    return {
        "said": np.asarray(said).tolist(),
        "spike_steps": times.tolist(),
        "spike_neurons": neurons.tolist(),
        "voltages": np.asarray(recording.voltages[:, middle, busiest]).T.tolist(),
    }
