"""Variants of learned feedback with local plasticity, each with one thing changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from metaplax.experiments.lindsey2020.base import Arm
from metaplax.experiments.lindsey2020.image_streams import AbstractImages
from metaplax.experiments.presets import load_presets, load_settings
from metaplax.tasks import Order


@dataclass(frozen=True)
class Change:
    """How one variant differs from learned feedback as it is.

    Attributes:
        label: what figures and tables call it.
        options: arguments of the learner that are different.
        outer_rates: learning rates that are different, by field of the learner.
        without: names of options and learning rates that it does not have.
        plastic: number of layers behind the encoder.
    """

    label: str
    options: Mapping[str, Any] = field(default_factory=dict)
    outer_rates: Mapping[str, float] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    plastic: int = 2

    def applied(self, arm: Arm) -> Arm:
        """The variant of an arm."""
        options, rates = (
            {name: value for name, value in {**old, **new}.items() if name not in self.without}
            for old, new in ((arm.options, self.options), (arm.outer_rates, self.outer_rates))
        )
        return replace(arm, options=options, outer_rates=rates, plastic=self.plastic)


CHANGES = load_settings(__file__, "ablations.toml", Change)["changes"]
VARIANTS = {
    name: {variant: change.applied(arms["flp"]) for variant, change in CHANGES.items()}
    for name, arms in load_settings(__file__, "arms.toml", Arm, "ablations").items()
}
SMOKE = ("flp", "hebb", "error", "one_for_all", "plastic3")
"""Variants that are run with the settings ``"smoke"``."""


@dataclass(frozen=True)
class Ablations(AbstractImages):
    """Variants of learned feedback with local plasticity, all else equal.

    Attributes:
        stream: whether classes come mixed (iid) or one after the other (continual).
    """

    name = "lindsey2020/ablations"
    title = "Learned feedback and Oja's rule, piece by piece"
    settings = VARIANTS | {"smoke": {name: VARIANTS["quick"][name] for name in SMOKE}}
    labels: ClassVar[Mapping[str, str]] = {name: change.label for name, change in CHANGES.items()}
    presets = load_presets(__file__, "ablations")

    stream: Order = "iid"

    @property
    def order(self) -> Order:  # type: ignore[override]
        return self.stream
