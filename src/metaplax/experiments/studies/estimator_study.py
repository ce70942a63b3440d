"""What one estimator of the meta-gradient is worth: its errors and costs on single episodes, and its meta-training."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key, PyTree

from metaplax.analysis import Quantity
from metaplax.estimators import AbstractEstimator, AbstractRandom, Checkpointed, Reversible
from metaplax.experiments.base import AbstractStudy, Conditions
from metaplax.experiments.studies.meta_training import MetaTraining
from metaplax.learners import AbstractInvertibleLearner, AbstractLearner, IncompatibleError
from metaplax.plasticity import PrintedTerm
from metaplax.runs import Row, fingerprint
from metaplax.tasks import AbstractTask, Episode
from metaplax.training import resample_key

MEASURED = (
    "loss_at_equal_cost", "loss", "error", "cosine", "bias", "variance", "cpu_seconds_to_loss",
    "cpu_seconds_per_episode", "temporary_megabytes",
)  # fmt: skip
"""Quantities of every estimator that tables show."""
LEAST_SECONDS = 0.3
"""Processor seconds for which an episode is repeated to measure what it costs."""


@dataclass(frozen=True, eq=False)
class EpisodeGradient:
    """The meta-gradient of single episodes at the start of meta-training, compiled once."""

    training: MetaTraining
    estimator: AbstractEstimator

    @cached_property
    def estimate(self) -> Callable[..., PyTree]:
        """From the key of a trial, the index of an episode and the number of a draw to the gradient as a vector."""

        def gradient(estimator: AbstractEstimator, learner: AbstractLearner, task: AbstractTask, key: Key[Array, ""]):
            task_key, learner_key = jax.random.split(key)
            return ravel_pytree(estimator.value_and_grad(learner, task.sample(task_key), learner_key).gradient)[0]

        return self._compiled(gradient)

    @cached_property
    def step(self) -> Callable[..., PyTree]:
        """What a meta-step does of one episode; that is a part of it if the estimator carries something."""
        training = self.training
        shapes = jax.eval_shape(training.task.sample, jax.random.key(0))
        if self.estimator.start(training.learner, shapes) is None:
            return self.estimate

        def gradient(estimator: AbstractEstimator, learner: AbstractLearner, task: AbstractTask, key: Key[Array, ""]):
            found, carried = estimator.step(learner, task.sample, key, estimator.start(learner, shapes))
            return found.gradient, carried

        return self._compiled(gradient)

    def _compiled(self, gradient: Callable[..., PyTree]) -> Callable[..., PyTree]:
        training = self.training
        arrays, constants = eqx.partition((training.task, training.learner), eqx.is_array)

        def program(arrays: PyTree, key: Key[Array, ""], index: Int[Array, ""], draw: Int[Array, ""]) -> PyTree:
            drawn, (task, learner), estimator = resample_key(key), eqx.combine(arrays, constants), self.estimator
            learner = learner.resample(drawn) if training.resample else learner
            if isinstance(estimator, AbstractRandom):
                estimator = eqx.tree_at(lambda it: it.draw, estimator, draw)
            return gradient(estimator, learner, task.resample(drawn), jax.random.fold_in(key, index))

        compiled = jax.jit(program).lower(arrays, jax.random.key(0), jnp.int32(0), jnp.int32(0)).compile()
        call = lambda key, index, draw: compiled(arrays, key, jnp.int32(index), jnp.int32(draw))  # noqa: E731
        call.memory = compiled.memory_analysis()  # pyright: ignore[reportFunctionMemberAccess]
        return call

    def megabytes(self) -> float:
        """Temporary memory of one episode; NaN where the compiler does not say."""
        memory = self.step.memory  # pyright: ignore[reportFunctionMemberAccess]
        return np.nan if memory is None else memory.temp_size_in_bytes / 1e6

    def cpu_seconds(self, key: Key[Array, ""]) -> float:
        """Processor time of one episode: the median of several that follow a first one."""
        jax.block_until_ready(self.step(key, 0, 0))
        spent: list[float] = []
        while len(spent) < 3 or (sum(spent) < LEAST_SECONDS and len(spent) < 100):
            began = time.process_time()
            jax.block_until_ready(self.step(key, 0, 0))
            spent.append(time.process_time() - began)
        return float(np.median(spent))


@dataclass(frozen=True)
class EstimatorStudy(AbstractStudy):
    """The errors of one estimator, its costs, and the meta-training that it leads to.

    Attributes:
        training: meta-training by the estimator.
        estimator: the estimator.
        probes: episodes per trial, at the start of meta-training, on which it is compared with the exact meta-gradient.
        draws: estimates per episode, if the estimator is random.
        exact: the exact meta-gradient; ``None`` if it does not exist.
    """

    training: MetaTraining
    estimator: AbstractEstimator
    probes: int
    draws: int
    exact: EpisodeGradient | None

    @property
    def steps(self) -> int:
        return self.training.steps

    @property
    def fingerprint(self) -> str:
        return f"{fingerprint(self.estimator)}: {self.training.fingerprint}"

    @property
    def schedule(self) -> str:
        return self.training.schedule

    def check(self) -> None:
        self.training.check()

    def memory(self, trials: int) -> int:
        return self.training.memory(trials)

    def operations(self, trials: int) -> int:
        return self.training.operations(trials)

    def printed(self) -> tuple[PrintedTerm, ...]:
        return self.training.printed()

    def conduct(self, conditions: Conditions) -> None:
        # Kept before training: what is derived from processor time is the same however often the run is resumed.
        conditions.recorder.also(conditions.recorder.once(lambda: self.measured(conditions)))
        self.training.train(conditions)

    def measured(self, conditions: Conditions) -> Row:
        """Errors averaged over episodes, temporary memory and processor time of one episode; one number per trial."""
        keys, found = conditions.keys(), EpisodeGradient(self.training, self.estimator)
        errors = [self._errors(found, key) for key in keys]
        costs = {"temporary_megabytes": found.megabytes(), "cpu_seconds_per_episode": found.cpu_seconds(keys[0])}
        return {
            **{name: np.array([of_trial[name] for of_trial in errors]) for name in errors[0]},
            **{name: np.full(conditions.trials, value) for name, value in costs.items()},
        }

    def _errors(self, found: EpisodeGradient, key: Key[Array, ""]) -> dict[str, float]:
        """Those of one trial, averaged over its episodes."""
        probes = []
        draws = self.draws if isinstance(self.estimator, AbstractRandom) else 1
        for index in range(self.probes):
            estimates = np.stack([found.estimate(key, index, draw) for draw in range(draws)])
            exact = None if self.exact is None else np.asarray(self.exact.estimate(key, index, 0))
            probes.append(quality(estimates, exact))
        means = {name: float(np.mean([probe[name] for probe in probes])) for name in probes[0]}
        return means | ({"bias": float(np.sqrt(max(means["bias"], 0.0)))} if "bias" in means else {})


def quality(
    estimates: Float[np.ndarray, "draws parameters"], exact: Float[np.ndarray, " parameters"] | None
) -> dict[str, float]:
    """Errors of independent estimates of one meta-gradient, relative to the norm of the exact one.

    Returns:
        ``variance``: sum of the variances of all components; of a single estimate zero. If there is an exact gradient,
        also ``error`` and ``cosine`` of single estimates, on average, and the square of the ``bias``: it is estimated
        without bias, from that of the mean less what the variance contributes to it, so that it may be below zero.
        Without one, the variance is relative to the squared norm of the mean.
    """
    draws, mean = len(estimates), np.mean(estimates, axis=0, dtype=float)
    variance = np.sum((estimates - mean) ** 2) / max(draws - 1, 1)
    scale = np.sum(np.square(mean if exact is None else exact, dtype=float))
    if exact is None:
        return {"variance": float(variance / scale)}
    norms = np.linalg.norm(estimates, axis=1) * np.sqrt(scale)
    found = {
        "error": np.mean(np.linalg.norm(estimates - exact, axis=1)) / np.sqrt(scale),
        "cosine": np.mean(estimates @ exact / norms),
        "bias": (np.sum((mean - exact) ** 2) - variance / draws) / scale,
        "variance": variance / scale,
    }
    return {name: float(value) for name, value in found.items()}


def applicable(
    training: MetaTraining, estimators: Mapping[str, AbstractEstimator], probes: int, draws: int
) -> tuple[dict[str, EstimatorStudy], dict[str, str], str]:
    """A study of every estimator that can be used, why the others cannot, and why there is no exact one, if so.

    Raises:
        IncompatibleError: learner and task do not fit together.
    """
    shapes = jax.eval_shape(training.task.sample, jax.random.key(0))
    training.learner.check(shapes, training.task.classes)
    exact = EpisodeGradient(training, Checkpointed())
    no_exact = why_not(exact.estimator, training.learner, shapes)
    left_out = {name: why_not(estimator, training.learner, shapes) for name, estimator in estimators.items()}
    studies = {}
    for name in (name for name, why in left_out.items() if not why):
        # Where one estimator explodes, the others go on.
        own = replace(training, estimator=estimators[name], patience=None)
        studies[name] = EstimatorStudy(own, estimators[name], probes, draws, None if no_exact else exact)
    return studies, {name: why for name, why in left_out.items() if why}, no_exact


def exploded(quantities: Iterable[Quantity], labels: Mapping[str, str], trials: int) -> list[str]:
    """A sentence on every estimator with which trials had no usable episode in the meta-steps that count."""
    counted = {quantity.name: quantity.n for quantity in quantities}
    lost = {name: trials - counted.get(f"loss.{name}", trials) for name in labels}
    return [
        f"{labels[name]}: in {count} of {trials} trials every episode of the last meta-steps exploded; they are left"
        " out of what is said of its loss"
        for name, count in lost.items()
        if count
    ]


def why_not(estimator: AbstractEstimator, learner: AbstractLearner, shapes: Episode) -> str:
    """Why an estimator cannot be used on a learner, or not with any gain; empty if it can."""
    if isinstance(estimator, Reversible) and not isinstance(learner, AbstractInvertibleLearner):
        return f"the updates of {type(learner).__name__} cannot be undone: Reversible would do what Checkpointed does"
    try:
        estimator.check(learner, shapes)
    except IncompatibleError as error:
        return str(error)
    return ""
