"""The quickstart, and the figures and the table in which the coefficients of named rules are meta-learned."""

from dataclasses import dataclass, replace

from metaplax.experiments.base import ConfigError
from metaplax.experiments.presets import load_presets
from metaplax.experiments.shervani2023.online import LABELS, PUBLISHED, OnlineRuleLearning
from metaplax.plasticity import Rule, rules
from metaplax.runs import ReportOptions

EHEBB_IN: dict[str, tuple[int, ...]] = {
    "none": (),
    "w12": (2,),
    "w23": (3,),
    "w01_w12": (1, 2),
    "w12_w23": (2, 3),
    "w01_w23": (1, 3),
    "all": (1, 2, 3),
}
"""For every row of Table 1, in which layers eHebb acts; the pseudo-gradient acts in all. {1} alone is not in it."""


@dataclass(frozen=True)
class Quickstart(OnlineRuleLearning):
    """Backprop, feedback alignment and a three-term rule on built-in characters, in a few minutes."""

    name = "quickstart"
    title = "A learned plasticity rule beside backprop and feedback alignment"
    arms = ("bp", "fa", "f_bio")
    presets = load_presets(__file__, "quickstart")

    meta_steps: int = 150
    trials: int = 4
    data: str = "glyphs"


@dataclass(frozen=True)
class Fig3(OnlineRuleLearning):
    """Backprop against feedback alignment, each with a meta-learned learning rate."""

    name = "shervani2023/fig3"
    title = "Feedback alignment fails where backprop succeeds"
    arms = ("bp", "fa")
    published = PUBLISHED["fig3"]


@dataclass(frozen=True)
class Fig5(OnlineRuleLearning):
    """The pseudo-gradient with Hebbian plasticity on the errors (eHebb)."""

    name = "shervani2023/fig5"
    title = "Error-based Hebbian plasticity aligns the teaching signals"
    arms = ("ehebb",)
    published = PUBLISHED["fig5"]


@dataclass(frozen=True)
class Fig7(OnlineRuleLearning):
    """The pseudo-gradient with Oja's rule."""

    name = "shervani2023/fig7"
    title = "Oja's rule improves learning without aligning the teaching signals"
    arms = ("oja",)
    published = PUBLISHED["fig7"]


@dataclass(frozen=True)
class FigS2(OnlineRuleLearning):
    """The three-term rule F_bio."""

    name = "shervani2023/figS2"
    title = "Three local terms rival backprop under random feedback"
    arms = ("f_bio",)
    published = PUBLISHED["figS2"]


@dataclass(frozen=True)
class Fig8(OnlineRuleLearning):
    """How orthonormal the weights become, layer by layer."""

    name = "shervani2023/fig8"
    title = "Oja's rule makes weights orthonormal"
    arms = ("fa", "ehebb", "oja", "f_bio")
    published = PUBLISHED["fig8"]


@dataclass(frozen=True)
class Table1(OnlineRuleLearning):
    """eHebb in some layers only: each aligns the teaching signal of the layer below it."""

    name = "shervani2023/table1"
    title = "Hebbian plasticity on the errors of a layer aligns the teaching signal below it"
    arms = tuple(EHEBB_IN)
    labels = LABELS["table1"]
    published = PUBLISHED["table1"]

    meta_steps: int = 500
    sizes: tuple[int, ...] = (784, 130, 70, 47)

    def __post_init__(self):
        super().__post_init__()
        if len(self.sizes) != 4:
            what = "Table 1 is about networks of three layers of weights"
            raise ConfigError(f"{what}, so sizes are four, not {self.sizes}")

    def report_options(self) -> ReportOptions:
        return ReportOptions(averaged=400)

    def rule(self, arm: str) -> Rule:
        active = tuple((True, layer in EHEBB_IN[arm]) for layer in (1, 2, 3))
        return replace(rules.ehebb(self.sharing, self.sizes), active=active)
