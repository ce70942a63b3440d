"""Time and memory of one meta-gradient estimator."""

import time
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.case import Case
from metaplax.estimators import AbstractEstimator
from metaplax.training.layout import Batching, choose_layout


@dataclass(frozen=True)
class Cost:
    """What one launch of several episodes costs.

    Attributes:
        estimator: its name.
        episodes: episodes per launch.
        cpu_seconds: processor time per episode, over all cores; median over launches.
        wall_seconds: time per episode; median over launches.
        temporary_bytes: memory of the launch besides its arguments and results, per device.
        compile_seconds: time to trace and compile, nothing cached.
    """

    estimator: str
    episodes: int
    cpu_seconds: float
    wall_seconds: float
    temporary_bytes: int
    compile_seconds: float


def measure(
    case: Case, estimator: AbstractEstimator, episodes: int = 1, repeats: int = 9, batching: Batching = "auto"
) -> Cost:
    """Cost of an estimator in steady state.

    Args:
        case: what is learned by which rule.
        estimator: the meta-gradient estimator.
        episodes: episodes per launch.
        repeats: launches that are timed, after one that is not.
        batching: how the episodes of a launch are laid out over the machine.
    """
    learner, task = case.learner(), case.task()
    layout = choose_layout(1, episodes, batching)

    def one(key):
        task_key, learner_key = jax.random.split(key)
        (loss, _), gradient = estimator.value_and_grad(learner, task.sample(task_key), learner_key)
        return loss, gradient

    def launch(tasks, step, state, key):
        del tasks, step, state
        return layout.episodes(one, jax.random.split(key, episodes))

    arguments = jnp.zeros(()), jnp.zeros(()), jnp.zeros(1)
    keys = jax.random.split(jax.random.key(0), repeats + 1)[:, None]
    began = time.perf_counter()
    run = jax.jit(layout.trials(launch)).lower(*arguments, keys[0]).compile()
    compile_seconds = time.perf_counter() - began
    jax.block_until_ready(run(*arguments, keys[-1]))
    seconds = np.array([timed(run, *arguments, key) for key in keys[:-1]])
    cpu, wall = np.median(seconds, axis=0) / episodes
    memory = run.memory_analysis()
    assert memory is not None
    name = type(estimator).__name__
    return Cost(name, episodes, float(cpu), float(wall), int(memory.temp_size_in_bytes), compile_seconds)


def timed(run, *arguments) -> tuple[float, float]:
    """Processor and wall seconds of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    jax.block_until_ready(run(*arguments))
    return time.process_time() - cpu, time.perf_counter() - wall
