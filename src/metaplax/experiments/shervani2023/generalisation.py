"""Beyond the paper: what becomes of a learned rule, left as it is, on other classes, other images, other networks?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractStudy, ConfigError, Load
from metaplax.experiments.shervani2023.online import SMOKE, OnlineRuleLearning, meta_training_classes
from metaplax.experiments.studies.meta_training import MetaTraining
from metaplax.experiments.studies.transfer import Transfer
from metaplax.tasks import OnlineClassification

FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""By which the learning rates of BP, FA and DFA are multiplied when they are tuned to a condition."""

DEPTHS = (3, 4, 6, 8, 10)
WIDTHS = (0.5, 2.0, 4.0)


def of_depth(sizes: tuple[int, ...], depth: int) -> tuple[int, ...]:
    """Sizes of a network with so many layers of weights; hidden ones shrink evenly from the first to the last."""
    first, last = sizes[1], sizes[-2]
    hidden = [round(first + (last - first) * i / max(depth - 2, 1)) for i in range(depth - 1)]
    return (sizes[0], *hidden, sizes[-1])


def of_width(sizes: tuple[int, ...], factor: float) -> tuple[int, ...]:
    """Sizes of a network whose hidden layers are so many times as wide."""
    return (sizes[0], *(max(1, round(factor * size)) for size in sizes[1:-1]), sizes[-1])


Resize = Callable[[tuple[int, ...]], tuple[int, ...]]
CONDITIONS: dict[str, tuple[str, Resize]] = {
    "seen": ("seen", lambda sizes: sizes),
    "held_out": ("held_out", lambda sizes: sizes),
    **{f"depth{depth}": ("held_out", lambda sizes, depth=depth: of_depth(sizes, depth)) for depth in DEPTHS},
    **{
        f"width{width:g}".replace(".", "_"): ("held_out", lambda sizes, w=width: of_width(sizes, w)) for width in WIDTHS
    },
}
"""For every condition: on which images, and what becomes of the sizes of the network."""


@dataclass(frozen=True)
class AbstractHeldOut(OnlineRuleLearning):
    """Rules are meta-trained on some classes and then scored, as they are, on others.

    Attributes:
        test_episodes: episodes that each trial is scored on.
    """

    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "smoke": {**SMOKE, "test_episodes": 1},
        "quick": {"meta_steps": 150, "trials": 4},
        "paper": {},
    }

    held_out: int = 10
    test_episodes: int = 20

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("test_episodes")

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del load
        trainings = self.trainings(data)
        unseen = self.held_out_task(data)
        transfers = {f"{arm}.held_out": self.transfer(arm, study, unseen) for arm, study in trainings.items()}
        return {**trainings, **transfers}

    def label(self, study: str) -> str:
        arm, _, condition = study.partition(".")
        return f"{super().label(arm)}, {condition.replace('_', ' ')}" if condition else super().label(arm)

    def held_out_task(self, data: ImageSet) -> OnlineClassification:
        """Episodes of the classes that meta-training never sees.

        Raises:
            ConfigError: these are too few.
        """
        classes = len(data.class_names)
        seen = meta_training_classes(classes, self.held_out)
        return self.episodes_of(data, tuple(label for label in range(classes) if label not in seen))

    def transfer(
        self, arm: str, training: MetaTraining, task: OnlineClassification, sizes: tuple[int, ...] | None = None
    ) -> Transfer:
        """The frozen rule of one arm on other episodes, in a network of other sizes if any are given."""
        learner = replace(replace(self, sizes=sizes or self.sizes).learner(arm), probes=())
        factors = FACTORS if len(learner.rule.terms) == 1 else (1.0,)
        return Transfer(arm, training, learner, task, self.test_episodes, factors)


@dataclass(frozen=True)
class Generalisation(AbstractHeldOut):
    """Meta-train on some classes, then freeze the rule and use it elsewhere.

    Attributes:
        conditions: where to use the rules, of those of ``CONDITIONS``.
        other_data: data sets to use them on besides.
        streams: lengths of streams, in images, to use them on besides; multiples of the number of classes.
        streams_of: data set whose classes, all of them, are streamed.
    """

    name = "shervani2023/generalisation"
    title = "A learned rule on classes, images and networks it was not learned for"
    arms = ("bp", "fa", "dfa", "f_bio")
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "smoke": {
            **SMOKE,
            "test_episodes": 1,
            "conditions": ("held_out", "depth4"),
            "other_data": ("glyphs",),
            "streams": (94,),
            "streams_of": "glyphs",
        },
        "quick": {"meta_steps": 150, "trials": 4, "test_episodes": 2, "streams": (50, 250, 1000)},
        "paper": {},
    }

    meta_steps: int = 300
    test_episodes: int = 5
    conditions: tuple[str, ...] = tuple(CONDITIONS)
    other_data: tuple[str, ...] = ("fashion_mnist", "glyphs")
    streams: tuple[int, ...] = (50, 250, 1000, 5000, 20_000)
    streams_of: str = "fashion_mnist"

    def __post_init__(self):
        super().__post_init__()
        for name in self.conditions:
            if name not in CONDITIONS:
                raise ConfigError(f"there is no condition {name!r}: there are {', '.join(CONDITIONS)}")

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        trainings = self.trainings(data)
        tasks = {"seen": self.task(data), "held_out": self.held_out_task(data)}
        places = {
            **{name: (tasks[CONDITIONS[name][0]], CONDITIONS[name][1](self.sizes)) for name in self.conditions},
            **{name: (self.episodes_of(load(name), None), self.sizes) for name in self.other_data},
            **{f"stream{length}": (self.stream(load(self.streams_of), length), self.sizes) for length in self.streams},
        }
        transfers = {
            f"{arm}.{place}": self.transfer(arm, training, task, sizes)
            for place, (task, sizes) in places.items()
            for arm, training in trainings.items()
        }
        return {**trainings, **transfers}

    def stream(self, data: ImageSet, length: int) -> OnlineClassification:
        """Streams of so many images of all classes of a data set.

        Raises:
            ConfigError: the data do not suffice, or classes cannot all have the same number of images.
        """
        ways = len(data.class_names)
        if length < 1 or length % ways:
            raise ConfigError(f"a stream of the {ways} classes of {data.name} needs a multiple of {ways}, not {length}")
        return replace(self, ways=ways, shots=length // ways).episodes_of(data, None)
