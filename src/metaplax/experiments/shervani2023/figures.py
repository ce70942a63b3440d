"""The quickstart, and the figures in which the coefficients of named rules are meta-learned: 3, 5, 7, 8, S1 and S2."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from metaplax.analysis import Published
from metaplax.experiments.presets import load_presets
from metaplax.experiments.shervani2023.online import OnlineRuleLearning

BP_AND_FA = {
    "accuracy.bp": Published(0.70, "text on Fig. 3a, about 70 %"),
    "accuracy.fa": Published(0.25, "text on Fig. 3a, about 25 %"),
}


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
    published = BP_AND_FA


@dataclass(frozen=True)
class Fig5(OnlineRuleLearning):
    """The pseudo-gradient with Hebbian plasticity on the errors (eHebb)."""

    name = "shervani2023/fig5"
    title = "Error-based Hebbian plasticity aligns the teaching signals"
    arms = ("ehebb",)
    published: ClassVar[Mapping[str, Published]] = {
        "accuracy.ehebb": Published(None, "text on Fig. 5: clearly above FA, below F_bio; no number is given")
    }


@dataclass(frozen=True)
class Fig7(OnlineRuleLearning):
    """The pseudo-gradient with Oja's rule."""

    name = "shervani2023/fig7"
    title = "Oja's rule improves learning without aligning the teaching signals"
    arms = ("oja",)
    published: ClassVar[Mapping[str, Published]] = {
        "accuracy.oja": Published(None, "text on Fig. 7: clearly above FA, angles hardly smaller; no number is given")
    }


@dataclass(frozen=True)
class FigS2(OnlineRuleLearning):
    """The three-term rule F_bio."""

    name = "shervani2023/figS2"
    title = "Three local terms rival backprop under random feedback"
    arms = ("f_bio",)
    published: ClassVar[Mapping[str, Published]] = {
        "accuracy.f_bio": Published(
            0.70, "inferred: Fig. S2 is said to equal Fig. 4, which approaches backprop (about 70 %)"
        )
    }


@dataclass(frozen=True)
class Fig8(OnlineRuleLearning):
    """How orthonormal the weights become, layer by layer."""

    name = "shervani2023/fig8"
    title = "Oja's rule makes weights orthonormal"
    arms = ("fa", "ehebb", "oja", "f_bio")
    published: ClassVar[Mapping[str, Published]] = {
        f"orthonormality{layer}.{rule}": Published(None, "Fig. 8: Oja's rule makes weights increasingly orthonormal")
        for layer in range(1, 5)
        for rule in ("oja", "f_bio")
    }
