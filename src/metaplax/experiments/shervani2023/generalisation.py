"""Beyond the paper: uses learned rules, as they are, on other classes, other images and in other networks."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractStudy, ConfigError, Load
from metaplax.experiments.presets import load_presets
from metaplax.experiments.shervani2023.online import OnlineRuleLearning, meta_training_classes
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


CONDITIONS: dict[str, Callable[[tuple[int, ...]], tuple[int, ...]]] = {
    "seen": tuple,
    "held_out": tuple,
    **{f"depth{depth}": partial(of_depth, depth=depth) for depth in DEPTHS},
    **{f"width{width:g}".replace(".", "_"): partial(of_width, factor=width) for width in WIDTHS},
}
"""For every condition the sizes of its network, given those of meta-training; only "seen" has the classes of that."""


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
        found: dict[str, AbstractStudy] = {**trainings}
        for condition, (task, sizes) in self.elsewhere(data, load).items():
            there = replace(self, sizes=sizes)
            for arm, training in trainings.items():
                learner = replace(there.learner(arm), probes=())
                factors = FACTORS if len(learner.rule.terms) == 1 else (1.0,)
                found[f"{arm}.{condition}"] = Transfer(
                    arm, training, learner, task, self.test_episodes, factors, tuning_task=self.tuning_task(data)
                )
        return found

    def tuning_task(self, data: ImageSet) -> OnlineClassification | None:
        """Episodes that learning rates are tuned on; ``None`` for others of the task that is scored."""
        del data

    def elsewhere(self, data: ImageSet, load: Load) -> dict[str, tuple[OnlineClassification, tuple[int, ...]]]:
        """For every condition in which rules are scored: the task, and the sizes of the network."""
        del load
        return {"held_out": (self.held_out_task(data), self.sizes)}

    def held_out_task(self, data: ImageSet) -> OnlineClassification:
        """Episodes of the classes that meta-training never sees."""
        every = range(len(data.class_names))
        return self.episodes_of(data, tuple(sorted({*every} - {*meta_training_classes(len(every), self.held_out)})))


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
        seen, held_out = self.task(data), self.held_out_task(data)
        return {
            **{name: (seen if name == "seen" else held_out, CONDITIONS[name](self.sizes)) for name in self.conditions},
            **{name: (self.episodes_of(load(name), None), self.sizes) for name in self.other_data},
            **{f"stream{length}": (self.stream(load(self.streams_of), length), self.sizes) for length in self.streams},
        }

    def stream(self, data: ImageSet, length: int) -> OnlineClassification:
        """Streams of ``length`` images of all classes of a data set, an equal number of each."""
        ways = len(data.class_names)
        if length < 1 or length % ways:
            raise ConfigError(f"a stream of the {ways} classes of {data.name} needs a multiple of {ways}, not {length}")
        return replace(self, ways=ways, shots=length // ways).episodes_of(data, None)
