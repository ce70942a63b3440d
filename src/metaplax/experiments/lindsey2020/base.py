"""The base of this paper's experiments: arms are meta-trained on short streams, and scored on further ones."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import jax
import numpy as np
import optax
from jaxtyping import Array, Key

from metaplax.analysis import Quantity, over_trials
from metaplax.data import ImageSet
from metaplax.estimators import Checkpointed
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, AbstractTraining, ConfigError, Load
from metaplax.experiments.lindsey2020.error_feedback import ErrorFeedback
from metaplax.experiments.pairs import difference_findings, differences
from metaplax.experiments.presets import load_tables
from metaplax.experiments.studies.meta_training import MetaTraining, Untrained
from metaplax.experiments.studies.stream_scores import RateSearch, StreamLearner, StreamScores
from metaplax.learners import FeedbackPlasticity, OnlineGradient
from metaplax.networks import EncoderMLP
from metaplax.optim import per_field, polyak_average
from metaplax.runs import ReportOptions
from metaplax.tasks import AbstractContinualTask, Order
from metaplax.training import Rollback

PARTS = {
    "start": ("start", "network"),
    "rates": ("rates",),
    "feedback": ("feedback.paths",),
    "mixing": ("feedback.mixing",),
    "plasticity": ("rule",),
}
"""Parts of a learner that have an outer learning rate of their own, and the fields that each has."""


@dataclass(frozen=True)
class Arm:
    """How one arm learns within an episode, and how that is meta-learned.

    Attributes:
        options: arguments of its learner: ``FeedbackPlasticity`` if there is a signal, ``ErrorFeedback`` if there is a
            pathway, else ``OnlineGradient``.
        outer_rates: learning rates of Adam by part of the learner, see ``PARTS``; none if nothing is meta-learned.
        plastic: number of layers behind the encoder.
    """

    options: Mapping[str, Any]
    outer_rates: Mapping[str, float] = field(default_factory=dict)
    plastic: int = 2

    @property
    def is_gradient(self) -> bool:
        """Whether it learns by gradient descent."""
        return not self.is_taught and "pathway" not in self.options

    @property
    def is_taught(self) -> bool:
        """Whether learned feedback tells every layer the activity that it should have."""
        return "signal" in self.options

    def learner(self, network: EncoderMLP, key: Key[Array, ""]) -> StreamLearner:
        """Its learner before meta-training."""
        kind = OnlineGradient if self.is_gradient else FeedbackPlasticity if self.is_taught else ErrorFeedback
        return kind(network, key, **self.options)

    def changed(self, options: Mapping[str, Any]) -> "Arm":
        """The arm with other arguments of its learner."""
        return replace(self, options={**self.options, **options})


@dataclass(frozen=True)
class AbstractStreamExperiment(AbstractExperiment):
    """Arms are meta-trained on streams, and scored on further ones (condition "test").

    Attributes:
        meta_steps: number of meta-steps.
        meta_batch: episodes per meta-step.
        test_episodes: further streams that each trial is scored on.
        average: whether to score meta-parameters averaged over the last half of meta-training, in all arms.
        clip: largest norm of the meta-gradient of each group of meta-parameters; 0 for no clipping, as published.
        rate_factors: factors of the inner learning rate, or of the plasticity, of which every arm gets the best one for
            each length of the streams that are scored; chosen on as many streams of other parts. None for no search, as
            published.
        ceiling: outer loss above which an episode has exploded and is left out.
        tuned_for: which learning rates are used: those published (paper), those found for fewer meta-steps (quick), or
            smoke.
        as_released: do what the published code does: plasticity without bounds, no clipping of meta-gradients, and
            first-order meta-gradients through gradient descent inside. Exploded episodes are still left out.
    """

    source = "Lindsey & Litwin-Kumar (2020)"
    labels = load_tables(__file__, "labels.toml", "streams")
    settings: ClassVar[Mapping[str, Mapping[str, Arm]]]
    """Arms by ``tuned_for``, and by short name."""

    order: ClassVar[Order]
    released_gradient: ClassVar[Mapping[str, Any]] = {"first_order": True}
    """Options of arms with gradient descent inside that are different in the published code."""
    compared: ClassVar[Sequence[tuple[str, str]]] = ()
    """Pairs of arms whose differences, trial by trial on all of the last streams, are quantities of their own."""

    trials: int = 5
    meta_steps: int = 20000
    meta_batch: int = 1
    test_episodes: int = 50
    average: bool = False
    rate_factors: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    clip: float = 1.0
    ceiling: float = 100.0
    tuned_for: str = "paper"
    as_released: bool = False

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("meta_steps", "meta_batch", "test_episodes", "ceiling")
        self.require_not_negative("clip")
        if self.tuned_for not in self.settings:
            raise ConfigError(f"tuned_for is one of {', '.join(self.settings)}, not {self.tuned_for!r}")

    @abstractmethod
    def network(self, plastic: int, data: ImageSet) -> EncoderMLP:
        """The network, with ``plastic`` layers behind the encoder."""

    @abstractmethod
    def training_task(self, data: ImageSet) -> AbstractContinualTask:
        """Streams for meta-training."""

    @abstractmethod
    def test_task(self, data: ImageSet, load: Load, parts: int, order: Order) -> AbstractContinualTask:
        """Further streams of so many classes or functions, which meta-training never saw, in this order."""

    @abstractmethod
    def search_task(self, data: ImageSet, parts: int, order: Order) -> AbstractContinualTask:
        """Streams of up to so many parts, which are neither meta-learned from nor scored, in this order."""

    @property
    @abstractmethod
    def counts(self) -> tuple[int, ...]:
        """Numbers of parts after which test streams are scored."""

    def arms(self) -> Mapping[str, Arm]:
        """The arms by short name."""
        arms = self.settings[self.tuned_for]
        if not self.as_released:
            return arms
        unbounded = {"bound": None, "response_bound": None}
        # All gradient arms are first order then, and this one would be the same as "oml".
        return {
            name: arm.changed(self.released_gradient if arm.is_gradient else unbounded if arm.is_taught else {})
            for name, arm in arms.items()
            if name != "oml_first"
        }

    def schedule(self, part: str, rate: float) -> float | optax.Schedule:
        """The outer learning rate of a part of the learner, see ``PARTS``; by default it is constant."""
        del part
        return rate

    def report_options(self) -> ReportOptions:
        return ReportOptions(axis="meta-step")

    def optimizer(self, arm: Arm) -> optax.GradientTransformation:
        """The outer optimiser of one arm: Adam for every part on its own, each with its gradient clipped."""
        adam = {PARTS[name]: optax.adam(self.schedule(name, rate)) for name, rate in arm.outer_rates.items()}
        if self.clip and not self.as_released:
            adam = {name: optax.chain(optax.clip_by_global_norm(self.clip), step) for name, step in adam.items()}
        found = per_field(adam)
        return optax.chain(found, polyak_average(self.meta_steps // 2)) if self.average else found

    def learner(self, arm: Arm, data: ImageSet) -> StreamLearner:
        """The learner of one arm before meta-training."""
        return arm.learner(self.network(arm.plastic, data), jax.random.key(self.seed))

    def trainings(self, data: ImageSet) -> dict[str, AbstractTraining]:
        """The meta-training of every arm, or its start if nothing of it is meta-learned."""
        task = self.training_task(data)
        found: dict[str, AbstractTraining] = {}
        for name, arm in self.arms().items():
            learner = self.learner(arm, data)
            found[name] = Untrained(learner)
            if arm.outer_rates:
                found[name] = MetaTraining(
                    learner=learner,
                    task=task,
                    estimator=Checkpointed(),
                    optimizer=self.optimizer(arm),
                    meta_steps=self.meta_steps,
                    meta_batch=self.meta_batch,
                    rollback=Rollback(ceiling=self.ceiling),
                )
        return found

    def scores(
        self,
        condition: str,
        trainings: Mapping[str, AbstractTraining],
        data: ImageSet,
        task: AbstractContinualTask,
        counts: tuple[int, ...],
        episodes: int,
    ) -> dict[str, StreamScores]:
        """All arms on further streams, scored after each of these numbers of parts, by name of the study."""
        search = None
        if self.rate_factors and not self.as_released:
            other = self.search_task(data, counts[-1], task.order)
            search = RateSearch(self.rate_factors, other, (*(it for it in counts if it < other.parts), other.parts))
        return {
            f"{name}.{condition}": StreamScores(
                name, trainings[name], self.learner(arm, data), task, counts, episodes, search
            )
            for name, arm in self.arms().items()
        }

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        trainings = self.trainings(data)
        task = self.test_task(data, load, self.counts[-1], self.order)
        return {**trainings, **self.scores("test", trainings, data, task, self.counts, self.test_episodes)}

    def further_quantities(self, rows: Sequence[Mapping[str, Any]]) -> list[Quantity]:
        """The scores after each number of parts, and the differences between arms that are compared."""
        scored = [row for row in rows if "parts" in row and not row.get("final")]
        last = {row["study"]: row for row in scored if round(row["parts"][0]) == self.counts[-1]}
        found = [quantity for row in scored for quantity in self._after(row)]
        ends = {
            f"{name}.{study.removesuffix('.test')}": np.asarray(row[name], float)
            for study, row in last.items()
            for name in ("accuracy", "loss")
            if study.endswith(".test") and name in row
        }
        return [*found, *differences(ends, self.compared, self.report_options().loss_unit)]

    def _after(self, row: Mapping[str, Any]) -> list[Quantity]:
        count = round(row["parts"][0])
        names = [name for name in ("accuracy", "accuracy_seen", "loss", "loss_seen", "rate_factor") if name in row]
        units = {"accuracy": "fraction", "loss": self.report_options().loss_unit, "rate_factor": "1"}
        return [over_trials(f"{n}_after{count}.{row['study']}", row[n], units[n.removesuffix("_seen")]) for n in names]

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        found, at_edge = [], []
        for name, study in studies.items():
            if not isinstance(study, StreamScores):
                continue
            count, described = study.counts[-1], self.describe(name)
            accuracy = quantities.get(f"accuracy_after{count}.{name}")
            last = accuracy or quantities.get(f"loss_after{count}.{name}")
            if last:
                what = "accuracy" if accuracy else "loss"
                where = "" if described.condition == "test" else f" ({described.condition})"
                score = f"{what} {last.with_interval()} after {count} on further streams{where}"
                found.append(f"{described.arm_label}: {score}")
            factor = quantities.get(f"rate_factor_after{count}.{name}")
            if study.search and factor and not min(self.rate_factors) < factor.mean < max(self.rate_factors):
                at_edge.append(described.arm_label)
        found += difference_findings(quantities, self.compared, self.label)
        if at_edge:
            found.append(f"the best inner rate is at the edge of what was searched: {', '.join(at_edge)}")
        return tuple(found)
