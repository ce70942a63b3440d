"""Measures how much single updates by learned feedback, and by gradients, interfere with each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metaplax.analysis import Quantity, over_trials, per_trial
from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractStudy, ConfigError, Load
from metaplax.experiments.lindsey2020.base import Arm
from metaplax.experiments.lindsey2020.image_streams import AbstractImages
from metaplax.experiments.presets import load_presets
from metaplax.experiments.studies.stream_scores import StreamScores
from metaplax.experiments.studies.update_interference import UpdateInterference

OURS = "flp"
ARMS = (OURS, "oja_readout", "oml", "maml", "readout", "bp")


@dataclass(frozen=True)
class Interference(AbstractImages):
    """Single updates after streams of classes, one after the other, by learned feedback, OML, MAML and backprop.

    After so many classes (condition "updates after" their number), for every arm and layer: the cosine between an
    update and the negative gradient of that example's loss (descent_cosine), the cosine between updates of different
    classes (update_cosine); and how an update changes the loss of its own example (own_change) and of those of other
    classes (other_change). Then with every update taken so far that the loss of its own example falls equally: how it
    changes the losses of other classes (equal_other_change) and their outputs (equal_drift, root mean square without
    what is common to all), and the share of updates that get so far (equal_share). The paper gives no definitions;
    these are ours. Backprop, which is not meta-learned, takes a fixed learning rate here.

    Attributes:
        decrease: by how much a scaled update lowers the loss of its own example, in nats.
    """

    name = "lindsey2020/interference"
    title = "Updates by learned feedback and by gradients: where they point, and what they do to other classes"
    order = "continual"
    presets = load_presets(__file__, "interference")

    decrease: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("decrease")
        if self.counts[0] < 2:
            raise ConfigError("updates of different classes need streams of at least 2 classes: test_counts")

    def arms(self) -> Mapping[str, Arm]:
        return {name: arm for name, arm in super().arms().items() if name in ARMS}

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        found = super().studies(data, load)
        for count in self.counts:
            task = self.test_task(data, load, count, self.order)
            for name, arm in self.arms().items():
                test = found[f"{name}.test"]
                assert isinstance(test, StreamScores)
                learner = self.learner(arm, data)
                found[f"{name}.updates_after_{count}"] = UpdateInterference(
                    name, test.training, learner, task, self.test_episodes, decrease=self.decrease
                )
        return found

    def further_quantities(self, rows: Sequence[Mapping[str, Any]]) -> list[Quantity]:
        """Also what updates change of other classes by learned feedback minus by each other arm, trial by trial."""
        studies = {row["study"]: self.describe(row["study"]) for row in rows}
        values = per_trial(rows, studies, self.report_options())
        found = super().further_quantities(rows)
        for study, about in studies.items():
            ours, theirs = (values.get(f"equal_other_change.{arm}.{about.condition}") for arm in (OURS, about.arm))
            if about.arm != OURS and ours is not None and theirs is not None:
                found.append(over_trials(f"equal_other_change_difference.{study}", ours - theirs, "nats"))
        return found

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        found = list(super().findings(quantities, studies))
        for count in self.counts:
            found.append(f"after {count} classes, if every update lowers its own loss by {self.decrease:g} nats:")
            for name in self.arms():
                others, share, difference = (
                    quantities.get(f"equal_{what}.{name}.updates_after_{count}")
                    for what in ("other_change", "share", "other_change_difference")
                )
                if others and share:
                    against = f"; {self.label(OURS)} minus it: {difference.with_interval()}" if difference else ""
                    found.append(
                        f"{self.label(name)}: losses of other classes change by {others.with_interval()}{against}"
                        f" ({share.mean:.0%} of the updates get so far)"
                    )
        return tuple(found)
