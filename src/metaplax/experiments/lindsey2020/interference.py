"""Measures how much single updates by learned feedback, and by gradients, interfere with each other."""

from collections.abc import Mapping
from dataclasses import dataclass

from metaplax.analysis import Quantity
from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractStudy, ConfigError, Load
from metaplax.experiments.lindsey2020.base import Arm
from metaplax.experiments.lindsey2020.image_streams import AbstractImages
from metaplax.experiments.presets import load_presets
from metaplax.experiments.studies.stream_scores import StreamScores
from metaplax.experiments.studies.update_interference import UpdateInterference

ARMS = ("flp", "oja_readout", "oml", "maml", "bp")


@dataclass(frozen=True)
class Interference(AbstractImages):
    """Single updates after streams of classes, one after the other, by learned feedback, OML, MAML and backprop.

    For every arm (condition "updates") and layer: the cosine between an update and the negative gradient of that
    example's loss (descent_cosine), the cosine between updates of different classes (update_cosine); and how an update
    changes the loss of its own example (own_change) and of those of other classes (other_change). The paper gives no
    definitions; these are ours. Backprop, which is not meta-learned, takes a fixed learning rate here.
    """

    name = "lindsey2020/interference"
    title = "Updates by learned feedback and by gradients: where they point, and what they do to other classes"
    order = "continual"
    presets = load_presets(__file__, "interference")

    def __post_init__(self):
        super().__post_init__()
        if self.counts[-1] < 2:
            raise ConfigError("updates of different classes need streams of at least 2 classes: test_counts")

    def arms(self) -> Mapping[str, Arm]:
        return {name: arm for name, arm in super().arms().items() if name in ARMS}

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        found = super().studies(data, load)
        for name, arm in self.arms().items():
            test = found[f"{name}.test"]
            assert isinstance(test, StreamScores)
            learner = self.learner(arm, data)
            found[f"{name}.updates"] = UpdateInterference(name, test.training, learner, test.task, self.test_episodes)
        return found

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        found = list(super().findings(quantities, studies))
        for name in self.arms():
            own, others = (quantities.get(f"{what}_change.{name}.updates") for what in ("own", "other"))
            if own and others:
                changes = f"loss of its example by {own.mean:.3g}, that of other classes by {others.with_interval()}"
                found.append(f"{self.label(name)}: one update changes the {changes}")
        return tuple(found)
