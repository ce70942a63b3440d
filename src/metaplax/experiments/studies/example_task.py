"""Keeps how a spiking network behaves in one task, before and after adaptation, for a figure."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metaplax.experiments.base import Conditions
from metaplax.experiments.studies.learned import AbstractLearnedStudy
from metaplax.learners import EnergyState, SpikingLearner
from metaplax.learners.energy.inner_gradient import simulate
from metaplax.tasks import AbstractSpikingTask
from metaplax.tasks.spike_regression import ExampleTaskData
from metaplax.training import trial_learner

SHOWN = 4
"""Number of neurons whose voltages are kept."""

CURVES = ("x_values", "target", "support_x_values", "support_target")


@dataclass(frozen=True)
class ExampleTask(AbstractLearnedStudy):
    """Spikes, voltages and outputs of the first trial's network in one task; kept in a file beside the rows."""

    learner: SpikingLearner
    task: AbstractSpikingTask

    @property
    def steps(self) -> int:
        return 0

    def conduct(self, conditions: Conditions) -> None:
        first = jax.tree.map(lambda leaf: leaf[0], self.learned(conditions))
        learner = trial_learner(self.learner, first, conditions.keys()[0], resample=True)
        task_key, learner_key = jax.random.split(conditions.key)
        example = jax.jit(self.task.example_task)(task_key)
        start = learner.init(learner_key)
        end = jax.jit(lambda state: learner.adapt(state, example.support, learner_key))(start)
        drawn = {
            "axis": self.task.axis,
            **{name: getattr(example, name).tolist() for name in CURVES},
            "dt": learner.network.dt,
            "threshold": learner.network.threshold,
            "before": _seen(learner, start, example),
            "after": _seen(learner, end, example),
        }
        conditions.recorder.attach(f"example_tasks/{self.origin}.json", drawn)
        conditions.recorder.finish(0, {})


def _seen(learner: SpikingLearner, state: EnergyState, example: ExampleTaskData) -> dict[str, Any]:
    """Outputs of the network along the axis, and its spikes and some voltages in one sample."""
    recording = simulate(learner.network, state.fast, example.x)
    each_step = len(example.x) == 1
    said = recording.outputs[:, 0, 0] if each_step else jnp.mean(recording.outputs[..., 0], 0)
    middle = len(example.x) // 2
    times, neurons = np.nonzero(np.asarray(recording.spikes[:, middle]))
    busiest = np.argsort(-np.asarray(recording.spikes.sum((0, 1))), kind="stable")[:SHOWN]
    return {
        "said": np.asarray(said).tolist(),
        "spike_steps": times.tolist(),
        "spike_neurons": neurons.tolist(),
        "voltages": np.asarray(recording.voltages[:, middle, busiest]).T.tolist(),
    }
