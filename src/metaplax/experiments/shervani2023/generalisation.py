"""Beyond the paper: uses learned rules, as they are, on other classes, other images and in other networks."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractStudy, ConfigError, Load
from metaplax.experiments.presets import load_presets
from metaplax.experiments.shervani2023.online import OnlineRuleLearning, meta_training_classes
from metaplax.experiments.studies.meta_training import MetaTraining
from metaplax.experiments.studies.transfer import Transfer
from metaplax.tasks import OnlineClassification

FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Factors of the learning rates of BP, FA and DFA among which the best one is chosen for every condition."""

DEPTHS = (3, 4, 6, 8, 10)
WIDTHS = (0.5, 2.0, 4.0)


def of_depth(sizes: tuple[int, ...], depth: int) -> tuple[int, ...]:
    """Sizes of a network with ``depth`` layers of weights, whose hidden layers shrink evenly."""
    first, last = sizes[1], sizes[-2]
    hidden = [round(first + (last - first) * i / max(depth - 2, 1)) for i in range(depth - 1)]
    return (sizes[0], *hidden, sizes[-1])


def of_width(sizes: tuple[int, ...], factor: float) -> tuple[int, ...]:
    """Sizes of a network whose hidden layers are ``factor`` times as wide."""
    return (sizes[0], *(max(1, round(factor * size)) for size in sizes[1:-1]), sizes[-1])


CONDITIONS: dict[str, tuple[str, Callable[[tuple[int, ...]], tuple[int, ...]]]] = {
    "seen": ("seen", lambda sizes: sizes),
    "held_out": ("held_out", lambda sizes: sizes),
    **{f"depth{depth}": ("held_out", partial(of_depth, depth=depth)) for depth in DEPTHS},
    **{f"width{width:g}".replace(".", "_"): ("held_out", partial(of_width, factor=width)) for width in WIDTHS},
}
"""For every condition: the classes it is about, and the sizes of its network, given those of meta-training."""


@dataclass(frozen=True)
class AbstractHeldOut(OnlineRuleLearning):
    """Rules are meta-trained on some classes and then scored, as they are, on others.

    Attributes:
        test_episodes: episodes that each trial is scored on.
    """

    held_out: int = 10
    test_episodes: int = 20

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("test_episodes")

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        trainings = self.trainings(data)
        transfers = {
            f"{arm}.{condition}": self.transfer(arm, training, task, sizes)
            for condition, (task, sizes) in self.elsewhere(data, load).items()
            for arm, training in trainings.items()
        }
        return {**trainings, **transfers}

    def elsewhere(self, data: ImageSet, load: Load) -> dict[str, tuple[OnlineClassification, tuple[int, ...]]]:
        """For every condition in which rules are scored: the task, and the sizes of the network."""
        del load
        return {"held_out": (self.held_out_task(data), self.sizes)}

    def held_out_task(self, data: ImageSet) -> OnlineClassification:
        """Episodes of the classes that meta-training never sees.

        Raises:
            ConfigError: these are too few.
        """
        classes = len(data.class_names)
        seen = meta_training_classes(classes, self.held_out)
        return self.episodes_of(data, tuple(label for label in range(classes) if label not in seen))

    def transfer(
        self, arm: str, training: MetaTraining, task: OnlineClassification, sizes: tuple[int, ...]
    ) -> Transfer:
        """The rule of one arm, as it was learned, on other episodes in a network of these sizes."""
        learner = replace(replace(self, sizes=sizes).learner(arm), probes=())
        factors = FACTORS if len(learner.rule.terms) == 1 else (1.0,)
        return Transfer(arm, training, learner, task, self.test_episodes, factors)


@dataclass(frozen=True)
class Generalisation(AbstractHeldOut):
    """Meta-train on some classes, then freeze the rule and use it elsewhere.

    Attributes:
        conditions: classes and network sizes that the rules are used with.
        other_data: other data sets that the rules are used on.
        streams: lengths of streams that the rules are used on, in images; multiples of the number of classes.
        streams_of: data set whose classes are streamed, all of them.
    """

    name = "shervani2023/generalisation"
    title = "A learned rule on classes, images and networks it was not learned for"
    arms = ("bp", "fa", "dfa", "f_bio")
    presets = load_presets(__file__, "generalisation")

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

    def elsewhere(self, data: ImageSet, load: Load) -> dict[str, tuple[OnlineClassification, tuple[int, ...]]]:
        tasks = {"seen": self.task(data), "held_out": self.held_out_task(data)}
        return {
            **{name: (tasks[CONDITIONS[name][0]], CONDITIONS[name][1](self.sizes)) for name in self.conditions},
            **{name: (self.episodes_of(load(name), None), self.sizes) for name in self.other_data},
            **{f"stream{length}": (self.stream(load(self.streams_of), length), self.sizes) for length in self.streams},
        }

    def stream(self, data: ImageSet, length: int) -> OnlineClassification:
        """Streams of ``length`` images of all classes of a data set.

        Raises:
            ConfigError: the data do not suffice, or classes cannot all have the same number of images.
        """
        ways = len(data.class_names)
        if length < 1 or length % ways:
            raise ConfigError(f"a stream of the {ways} classes of {data.name} needs a multiple of {ways}, not {length}")
        return replace(self, ways=ways, shots=length // ways).episodes_of(data, None)
