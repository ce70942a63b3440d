"""A recurrent spiking network that learns to learn: e-prop inside, a contrastive rule outside, and rivals.

Zucchet et al., A contrastive rule for meta-learning, NeurIPS 2022, section 5.4.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import optax

from metaplax.analysis import Quantity
from metaplax.data import ImageSet
from metaplax.estimators import AbstractEstimator
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError, Load
from metaplax.experiments.presets import load_presets, load_settings, load_tables
from metaplax.experiments.studies.example_task import ExampleTask
from metaplax.experiments.studies.meta_training import MetaTraining, Untrained
from metaplax.experiments.studies.transfer import Transfer
from metaplax.experiments.zucchet2022.settings import PAPER, AbstractSettings
from metaplax.learners import BPTT, EProp, SpikingLearner
from metaplax.networks import RecurrentLIF
from metaplax.runs import ReportOptions
from metaplax.tasks import AbstractSpikingTask, SpikingPatterns, SpikingSinusoids

LABELS = load_tables(__file__, "labels.toml", "spiking")
PUBLISHED_ARMS = ("cml", "bptt_bptt", "bptt_eprop", "tbptt_eprop")


@dataclass(frozen=True, kw_only=True)
class SpikingSettings(AbstractSettings):
    """How one pair of an outer and an inner rule is run.

    Attributes:
        inner: rule by which weights change within a task.
        batch: samples per inner step; by default all of them.
        rate_penalty: factor of the penalty on firing rates.
        rate_target: firing rate without any penalty, in spikes per neuron and step.
    """

    # The gradient of a synapse that no spike has reached is exactly zero.
    eps_root = 1e-12

    inner: Literal["eprop", "bptt"]
    batch: int | None = None
    rate_penalty: float
    rate_target: float


@dataclass(frozen=True)
class AbstractSpikingExperiment(AbstractExperiment):
    """Consolidated weights of a spiking network are meta-learned by several pairs of an outer and an inner rule.

    Every arm is scored on further tasks, with its meta-learned weights ("test") and with random ones ("untrained");
    one task is drawn before and after adaptation ("example_task").

    Attributes:
        arms: pairs of rules to compare: the published ones; reptile and unnudged, which descend like the contrastive
            rule; and those that end in _adam, BPTT outside with as many inner steps of the same kind.
        meta_steps: number of meta-steps.
        test_episodes: tasks that each trial is scored on.
        hidden: number of spiking neurons.
        adaptation: how much a spike raises the threshold: 0 for LIF neurons, more for ALIF neurons.
        shots: samples to learn from.
        queries: samples to be scored on.
        steps: time steps per sample.
        form: whether e-prop works on whole recordings or online, along with time; results are the same.
        random_feedback: whether errors reach the neurons by fixed random weights in e-prop.
        tuned_for: which learning rates are used: those published for sinusoids (paper), those found for sinusoids and
            fewer tasks (quick), those found for curves over time (pattern), or next to no steps (smoke).
        as_released: do what the published code does: the negative phase is not nudged, a meta-step follows the last
            task of its meta-batch only, voltages are paired with the input of their own time step, and arms whose
            outer rule is BPTT are scored with BPTT inside.
    """

    source: ClassVar[str] = PAPER
    labels: ClassVar[Mapping[str, str]] = LABELS
    condition_labels: ClassVar[Mapping[str, str]] = load_tables(__file__, "labels.toml", "spiking-conditions")
    settings: ClassVar = load_settings(__file__, "spiking_settings.toml", SpikingSettings)

    trials: int = 5
    data: str = "none"
    arms: tuple[str, ...] = PUBLISHED_ARMS
    meta_steps: int = 1000
    test_episodes: int = 200
    hidden: int = 100
    adaptation: float = 0.0
    shots: int = 10
    queries: int = 10
    steps: int = 20
    form: Literal["whole", "online"] = "whole"
    random_feedback: bool = False
    tuned_for: Literal["paper", "quick", "pattern", "smoke"] = "paper"
    as_released: bool = False

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("meta_steps", "test_episodes", "hidden", "shots", "queries")
        self.require_some("arms", LABELS)
        if missing := [arm for arm in self.arms if arm not in self.settings[self.tuned_for]]:
            raise ConfigError(f"there are no learning rates for {missing[0]!r} where tuned_for is {self.tuned_for!r}")
        if self.steps < 2:
            raise ConfigError(f"a sample needs at least 2 time steps, not {self.steps}")
        self.require_not_negative("adaptation")

    def report_options(self) -> ReportOptions:
        return ReportOptions(20, "meta-step", headline=("loss", "firing_rate"), loss_unit="squared error", by_cost=True)

    @abstractmethod
    def task(self) -> AbstractSpikingTask:
        """Distribution of tasks."""

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del data, load
        task, trainings = self.task(), {arm: self._training(arm) for arm in self.arms}
        found: dict[str, AbstractStudy] = dict(trainings)
        for arm, training in trainings.items():
            learner = self.learner(arm, testing=True)
            found[f"{arm}.test"] = Transfer(arm, training, learner, task, self.test_episodes)
            found[f"{arm}.untrained"] = Transfer(arm, Untrained(learner), learner, task, self.test_episodes)
            found[f"{arm}.example_task"] = ExampleTask(arm, training, learner, task)
        return found

    def _training(self, arm: str) -> MetaTraining:
        settings, task, learner = self.settings[self.tuned_for][arm], self.task(), self.learner(arm)
        optimizer, meta_batch = optax.adam(settings.outer_rate), 1 if self.as_released else settings.meta_batch
        return MetaTraining(learner, task, self.estimator(arm), optimizer, self.meta_steps, meta_batch=meta_batch)

    def estimator(self, arm: str) -> AbstractEstimator:
        """The meta-gradient of one arm."""
        settings = self.settings[self.tuned_for][arm]
        return settings.estimator(batch=settings.batch, as_released=self.as_released)

    def learner(self, arm: str, *, testing: bool = False) -> SpikingLearner:
        """The learner of one arm, at the start of meta-training or as it is scored."""
        settings = self.settings[self.tuned_for][arm]
        rates = settings.rate_penalty, settings.rate_target
        seed = self.seed if self.random_feedback else None
        inner = EProp(*rates, form=self.form, random_feedback=seed, ahead=self.as_released)
        if settings.inner == "bptt" or (testing and self.as_released and arm != "cml"):
            inner = BPTT(*rates)
        network = RecurrentLIF(self.task().neurons, self.hidden, adaptation=self.adaptation)
        return SpikingLearner(network, inner, settings.descent(batch=settings.batch), settings.strength)

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        found = []
        for arm in self.arms:
            test, before = (quantities.get(f"loss.{arm}.{where}") for where in ("test", "untrained"))
            if test and before:
                score = f"squared error {test.with_interval()} on {self.test_episodes} further tasks"
                found.append(f"{self.label(arm)}: {score}, {before.with_interval()} without meta-learning")
        return tuple(found)


@dataclass(frozen=True)
class SpikingSinusoid(AbstractSpikingExperiment):
    """Sinusoids of which ten noisy samples are seen."""

    name = "zucchet2022/spiking-sinusoid"
    title = "A spiking network learns to learn sinusoids with e-prop"
    presets = load_presets(__file__, "spiking-sinusoid")

    def task(self) -> SpikingSinusoids:
        return SpikingSinusoids(self.shots, self.queries, self.steps)


@dataclass(frozen=True)
class SpikingPattern(AbstractSpikingExperiment):
    """Curves over time that are drawn whenever a noisy clock runs, of which five runs are seen.

    Not in the paper: the same network on time series, with neurons that adapt.
    """

    name = "zucchet2022/spiking-pattern"
    title = "A spiking network learns to learn curves over time with e-prop"
    presets = load_presets(__file__, "spiking-pattern")

    arms: tuple[str, ...] = ("cml", "bptt_eprop")
    adaptation: float = 0.01
    shots: int = 5
    queries: int = 5
    steps: int = 50

    def task(self) -> SpikingPatterns:
        return SpikingPatterns(self.shots, self.queries, self.steps)
