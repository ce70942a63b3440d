"""Classes of images learned online from a few examples each, mixed or one after the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from metaplax.data import ImageSet
from metaplax.experiments.base import ConfigError, Load
from metaplax.experiments.lindsey2020.arms import LABELS, Arm, arms_without_meta_learning, gradient_arms
from metaplax.experiments.lindsey2020.base import AbstractStreamExperiment
from metaplax.networks import ConvEncoder, EncoderMLP, SoftmaxCrossEntropy
from metaplax.tasks import ContinualImages, Order

PUBLISHED_FLP = Arm(
    LABELS["flp"],
    {"signal": "target", "strength": 1.0, "hidden_multiplier": 100.0},
    {"start": 1e-4, "feedback": 1e-4, "plasticity": 1e-5},
)
PAPER = {
    "flp": PUBLISHED_FLP,
    **gradient_arms(1e-2, 1e-4, 1e-4),
    **arms_without_meta_learning((1e-3, 3e-3, 1e-2, 3e-2)),
}
# Found with another seed. The plasticity of the output layer starts at a value with which it averages over a few
# examples, that of hidden layers at none and with small steps: whatever they change, all classes before suffer from.
QUICK_FLP = Arm(
    LABELS["flp"],
    {
        "signal": "target",
        "strength": 1.0,
        "hidden_multiplier": 1e-3,
        "plasticity": 0.1,
        "hidden_plasticity": 0.0,
    },
    {"start": 2e-3, "feedback": 1e-3, "plasticity": 1e-3},
)
QUICK = {
    "flp": QUICK_FLP,
    # A single plastic layer has no feedback that could be learned.
    "oja_readout": Arm(LABELS["oja_readout"], QUICK_FLP.options, {"start": 2e-3, "plasticity": 1e-3}, plastic=1),
    **gradient_arms(3e-2, 2e-3, 1e-3),
    **arms_without_meta_learning((3e-3, 1e-2, 3e-2, 1e-1)),
}
SMOKE = {name: QUICK[name] for name in ("flp", "oml", "fa")}

HELD_OUT = {"omniglot": "evaluation", "omniglot84": "evaluation", "miniimagenet": "test"}
"""Parts of data sets with classes that meta-training never sees; of others the last third of the classes is kept."""

RESERVED = 5
"""Images of every class in test streams that are for scoring only."""


@dataclass(frozen=True)
class AbstractImages(AbstractStreamExperiment):
    """Classes that are numbered anew in every stream, a few images of each, one image at a time.

    Test streams hold classes that meta-training never saw, with as many images of each to learn from as in
    meta-training; if they come class by class, with up to 15 of them.

    Attributes:
        ways: classes per stream in meta-training.
        shots: images of each to learn from.
        queries: images of each to be scored on.
        channels: of every convolution in front.
        strides: of the convolutions.
        hidden: neurons of plastic layers before the last.
        outputs: of the network; classes draw their numbers from all of them.
        test_counts: after how many classes to score test streams that come class by class.
    """

    averaged: ClassVar[int] = 200
    released_gradient: ClassVar[Mapping[str, Any]] = {"first_order": True, "fresh_readout": True}

    data: str = "omniglot84"
    meta_steps: int = 40000
    ways: int = 5
    shots: int = 5
    queries: int = 5
    channels: int = 128
    strides: tuple[int, ...] = (2, 1, 2, 1, 2, 2)
    hidden: int = 128
    outputs: int = 1000
    test_counts: tuple[int, ...] = (10, 50, 100, 200, 400, 600)

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("ways", "shots", "queries", "channels", "hidden", "outputs")
        if list(self.test_counts) != sorted(set(self.test_counts)) or not self.test_counts or self.test_counts[0] < 1:
            raise ConfigError(f"test_counts must be positive and increasing, not {self.test_counts}")
        if max(self.ways, self.counts[-1]) > self.outputs:
            raise ConfigError(f"{max(self.ways, self.counts[-1])} classes need as many outputs, not {self.outputs}")

    @classmethod
    def recipes(cls) -> Mapping[str, Mapping[str, Arm]]:
        return {"paper": PAPER, "quick": QUICK, "smoke": SMOKE}

    def network(self, plastic: int, data: ImageSet) -> EncoderMLP:
        colours = data.images.shape[3] if data.images.ndim == 4 else 1
        try:
            encoder = ConvEncoder(data.images.shape[1], colours, self.channels, self.strides)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        return EncoderMLP(encoder, (*[self.hidden] * (plastic - 1), self.outputs), SoftmaxCrossEntropy())

    def training_task(self, data: ImageSet) -> ContinualImages:
        kept = None if self.data in HELD_OUT else range(_last_third(data))
        return self._task(data, self.ways, self.shots, self.queries, order=self.order, allowed=kept)

    def test_task(self, data: ImageSet, load: Load, parts: int, order: Order) -> ContinualImages:
        images = load(self.data, HELD_OUT[self.data]) if self.data in HELD_OUT else data
        held_out = None if self.data in HELD_OUT else range(_last_third(data), len(data.class_names))
        most = int(images.counts().min()) - RESERVED
        if most < 1:
            raise ConfigError(f"{images.name} has too few images per class for {RESERVED} of each to be scored on")
        shots = self.shots if order == "iid" else min(15, most)
        return self._task(images, parts, shots, RESERVED, order=order, allowed=held_out, reserved=RESERVED)

    def _task(
        self,
        data: ImageSet,
        ways: int,
        shots: int,
        queries: int,
        *,
        order: Order,
        allowed: range | None,
        reserved: int = 0,
    ) -> ContinualImages:
        try:
            return ContinualImages(
                data,
                ways,
                shots,
                queries,
                order=order,
                reserved=reserved,
                overlap=self.as_released and not reserved,
                dark=self.as_released and data.images.ndim == 3,
                labels=None if self.as_released else self.outputs,
                allowed=allowed,
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error


def _last_third(data: ImageSet) -> int:
    """The first label of the last third of the classes."""
    return len(data.class_names) - len(data.class_names) // 3


SMALL = {"trials": 2, "meta_steps": 2, "test_episodes": 2, "data": "glyphs", "channels": 4, "hidden": 8, "outputs": 12}
SMOKE_PRESET = {**SMALL, "strides": (2, 2, 2), "ways": 3, "shots": 2, "queries": 2, "tuned_for": "smoke"}
QUICK_PRESET = {
    "trials": 6,
    "data": "omniglot",
    "meta_steps": 1500,
    "channels": 32,
    "strides": (2, 1, 2),
    "tuned_for": "quick",
    "ceiling": 20.0,
}


@dataclass(frozen=True)
class OmniglotIid(AbstractImages):
    """Images of a few classes come mixed; test streams have as many classes."""

    name = "lindsey2020/omniglot-iid"
    title = "A few classes of images learned online by learned feedback and Oja's rule"
    order: ClassVar[Order] = "iid"
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "smoke": SMOKE_PRESET,
        "quick": {**QUICK_PRESET, "test_episodes": 40, "outputs": 200},
        "paper": {"test_episodes": 100},
    }

    @property
    def counts(self) -> tuple[int, ...]:
        return (self.ways,)


@dataclass(frozen=True)
class OmniglotContinual(AbstractImages):
    """One class comes after the other; test streams have many more of them than those of meta-training."""

    name = "lindsey2020/omniglot-continual"
    title = "Many classes of images, one after the other, learned by learned feedback and Oja's rule"
    order: ClassVar[Order] = "continual"
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "smoke": {**SMOKE_PRESET, "test_counts": (2, 5)},
        "quick": {
            **QUICK_PRESET,
            "meta_steps": 600,
            "test_episodes": 3,
            "ways": 20,
            "shots": 3,
            "queries": 2,
            "outputs": 200,
            "test_counts": (10, 20, 50, 100),
        },
        "paper": {"test_episodes": 10, "ways": 20},
    }

    @property
    def counts(self) -> tuple[int, ...]:
        return self.test_counts
