"""Table 1: which layers must be Hebbian on the errors for which teaching signals to align."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from metaplax.analysis import Published
from metaplax.experiments.base import ConfigError
from metaplax.experiments.shervani2023.online import OnlineRuleLearning
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
"""For every row, in which layers eHebb acts; the pseudo-gradient acts in all. {1} alone is not in the table."""

DEGREES = {
    "none": (89.89, 76.69, 82.04),
    "w12": (89.95, 59.95, 72.14),
    "w23": (90.03, 75.18, 29.02),
    "w01_w12": (75.29, 61.23, 72.56),
    "w12_w23": (90.2, 49.4, 27.9),
    "w01_w23": (84.86, 74.25, 30.33),
    "all": (77.93, 49.93, 28.4),
}
"""Published angles of layers 0, 1 and 2."""


@dataclass(frozen=True)
class Table1(OnlineRuleLearning):
    """eHebb in some layers only: each aligns the teaching signal of the layer below it."""

    name = "shervani2023/table1"
    title = "Hebbian plasticity on the errors of a layer aligns the teaching signal below it"
    arms = tuple(EHEBB_IN)
    labels: ClassVar[Mapping[str, str]] = {
        row: "eHebb in no layer"
        if not layers
        else f"eHebb in {' and '.join(f'W{layer - 1}{layer}' for layer in layers)}"
        for row, layers in EHEBB_IN.items()
    }
    published: ClassVar[Mapping[str, Published]] = {
        f"angle{layer}.{row}": Published(degrees, "Table 1")
        for row, angles in DEGREES.items()
        for layer, degrees in enumerate(angles)
    }

    meta_steps: int = 500
    sizes: tuple[int, ...] = (784, 130, 70, 47)

    def __post_init__(self):
        super().__post_init__()
        if len(self.sizes) != 4:
            raise ConfigError(
                f"Table 1 is about networks of three layers of weights, so sizes are four, not {self.sizes}"
            )

    def report_options(self) -> ReportOptions:
        return ReportOptions(averaged=400)

    def rule(self, arm: str) -> Rule:
        active = tuple((True, layer in EHEBB_IN[arm]) for layer in (1, 2, 3))
        return replace(rules.ehebb(self.sharing, self.sizes), active=active)
