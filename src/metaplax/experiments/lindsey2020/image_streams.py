"""Classes of images learned online from a few examples each, mixed or one after the other."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from metaplax.data import ImageSet
from metaplax.experiments.base import ConfigError, Load, config_errors
from metaplax.experiments.lindsey2020.base import AbstractStreamExperiment, Arm
from metaplax.experiments.presets import load_presets, load_settings
from metaplax.networks import AbstractEncoder, ConvEncoder, EncoderMLP, NoEncoder, SoftmaxCrossEntropy
from metaplax.runs import ReportOptions
from metaplax.tasks import ContinualImages, Order

HELD_OUT = {"omniglot": "evaluation", "omniglot84": "evaluation", "miniimagenet": "test"}
"""Parts of data sets with classes that meta-training never sees; of other data the last third of the classes."""

PUBLISHED_CLASSES = {"omniglot": (963, 650), "omniglot84": (963, 650)}
"""How many classes, the first ones, the published code takes for meta-training and for tests, if not all of them."""

RESERVED = 5
"""Images per class in test streams that are for scoring only."""


@dataclass(frozen=True)
class AbstractImages(AbstractStreamExperiment):
    """Classes that are numbered anew in every stream, a few images of each, one image at a time.

    Test streams hold classes that meta-training never saw, with as many images per class to learn from as in
    meta-training; if they come class by class, with up to 15 of them.

    Attributes:
        ways: classes per stream in meta-training.
        shots: images per class to learn from.
        queries: images per class to be scored on.
        channels: channels of every convolution of the encoder.
        strides: strides of the convolutions, one after the other; without any, pixels take the place of features.
        hidden: neurons of each layer behind the convolutions but the last.
        outputs: outputs of the network.
        numbers: which outputs the classes of a stream are given: the first ones, in random order, as published, or any.
        dark_strokes: dark strokes on bright paper, as published; where they are bright on dark, empty paper drives no
            neuron.
        search_classes: classes that meta-training leaves to the search of learning rates; at most a quarter of them.
        test_counts: numbers of classes after which test streams that come class by class are scored.
    """

    settings = load_settings(__file__, "arms.toml", Arm, "images")
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
    numbers: Literal["first", "any"] = "first"
    dark_strokes: bool = True
    search_classes: int = 100
    test_counts: tuple[int, ...] = (10, 50, 100, 200, 400, 600)

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("ways", "shots", "queries", "channels", "hidden", "outputs", "search_classes")
        if list(self.test_counts) != sorted(set(self.test_counts)) or not self.test_counts or self.test_counts[0] < 1:
            raise ConfigError(f"test_counts must be positive and increasing, not {self.test_counts}")
        most = max(self.ways, self.counts[-1])
        if most > self.outputs:
            raise ConfigError(f"{most} classes need as many outputs, not {self.outputs}")

    def report_options(self) -> ReportOptions:
        return replace(super().report_options(), averaged=200)

    @property
    def counts(self) -> tuple[int, ...]:
        return (self.ways,) if self.order == "iid" else self.test_counts

    def network(self, plastic: int, data: ImageSet) -> EncoderMLP:
        colours = data.images.shape[3] if data.images.ndim == 4 else 1
        encoder: AbstractEncoder = NoEncoder(data.images.shape[1:])
        if self.strides:
            with config_errors():
                encoder = ConvEncoder(data.images.shape[1], colours, self.channels, self.strides)
        return EncoderMLP(encoder, (*[self.hidden] * (plastic - 1), self.outputs), SoftmaxCrossEntropy())

    def training_task(self, data: ImageSet) -> ContinualImages:
        kept = range(self._searched(data).start)
        return self._task(data, self.ways, self.shots, self.queries, self.order, kept, overlap=self.as_released)

    def search_task(self, data: ImageSet, parts: int, order: Order) -> ContinualImages:
        most, classes = int(data.counts().min()) - RESERVED, self._searched(data)
        shots = self.shots if order == "iid" else max(1, min(15, most))
        return self._task(data, min(parts, len(classes)), shots, RESERVED, order, classes, reserved=RESERVED)

    def _searched(self, data: ImageSet) -> range:
        """The labels of the classes that learning rates are searched on, which follow those of meta-training."""
        end = len(data.class_names) if self.data in HELD_OUT else last_third(data).start
        end = min(end, PUBLISHED_CLASSES.get(self.data, (end,))[0])
        searches = self.rate_factors and not self.as_released
        return range(end - (min(self.search_classes, end // 4) if searches else 0), end)

    def test_task(self, data: ImageSet, load: Load, parts: int, order: Order) -> ContinualImages:
        part = HELD_OUT.get(self.data)
        images = load(self.data, part) if part else data
        held_out = range(len(images.class_names)) if part else last_third(images)
        held_out = held_out[: PUBLISHED_CLASSES.get(self.data, (0, len(held_out)))[1]]
        most = int(images.counts().min()) - RESERVED
        if most < 1:
            raise ConfigError(f"{images.name} has too few images per class for {RESERVED} of each to be scored on")
        shots = self.shots if order == "iid" else min(15, most)
        return self._task(images, parts, shots, RESERVED, order, held_out, reserved=RESERVED)

    def _task(
        self, data: ImageSet, ways: int, shots: int, queries: int, order: Order, allowed: range, **more: Any
    ) -> ContinualImages:
        is_grey, labels = data.images.ndim == 3, self.outputs if self.numbers == "any" else None
        dark = is_grey and (self.dark_strokes or self.as_released)
        with config_errors():
            return ContinualImages(
                data, ways, shots, queries, order=order, allowed=allowed, dark=dark, labels=labels, **more
            )


def last_third(data: ImageSet) -> range:
    """The labels of the last third of the classes."""
    classes = len(data.class_names)
    return range(classes - classes // 3, classes)


@dataclass(frozen=True)
class OmniglotIid(AbstractImages):
    """Images of a few classes come mixed; test streams have as many classes."""

    name = "lindsey2020/omniglot-iid"
    title = "A few classes of images learned online by learned feedback and Oja's rule"
    order = "iid"
    presets = load_presets(__file__, "omniglot-iid")


@dataclass(frozen=True)
class OmniglotContinual(AbstractImages):
    """One class comes after the other; test streams have many more of them than those of meta-training."""

    name = "lindsey2020/omniglot-continual"
    title = "Many classes of images, one after the other, learned by learned feedback and Oja's rule"
    order = "continual"
    presets = load_presets(__file__, "omniglot-continual")
