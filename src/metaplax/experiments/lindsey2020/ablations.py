"""What learned feedback with local plasticity can do without, piece by piece."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from metaplax.experiments.lindsey2020.arms import Arm
from metaplax.experiments.lindsey2020.omniglot import (
    PUBLISHED_FLP,
    QUICK_FLP,
    QUICK_PRESET,
    SMOKE_PRESET,
    AbstractImages,
)
from metaplax.tasks import Order

# Hidden layers that learn from the start: what they would learn otherwise depends on how long meta-training is.
QUICK_BASE = replace(QUICK_FLP, options={**QUICK_FLP.options, "hidden_plasticity": 0.1, "hidden_multiplier": 1e-2})

CHANGES: Mapping[str, tuple[str, dict[str, Any], dict[str, float | None], int]] = {
    "flp": ("as it is", {}, {}, 2),
    "to_output": ("feedback to the output only", {"hidden_paths": False}, {"feedback": None}, 2),
    "fixed_paths": ("frozen random feedback", {}, {"feedback": 0.0}, 2),
    "hebb": ("Hebb in place of Oja", {"rule": "hebb"}, {}, 2),
    "error": ("error in place of target", {"signal": "error"}, {}, 2),
    "linear": ("linear feedback", {"linear_paths": True}, {}, 2),
    "per_neuron": ("one plasticity per neuron", {"sharing": "neuron"}, {}, 2),
    "per_layer": ("one plasticity per layer", {"sharing": "layer"}, {}, 2),
    "one_for_all": ("one plasticity for all", {"sharing": "global", "hidden_plasticity": None}, {}, 2),
    "plastic1": ("one plastic layer", {}, {"feedback": None}, 1),
    "plastic3": ("three plastic layers", {}, {}, 3),
}
"""For each variant: what to call it, what is different, outer rates that are (none of what it does not have), and how
many layers are plastic."""


def variants(arm: Arm) -> dict[str, Arm]:
    """All variants of one arm."""
    found = {}
    for name, (label, options, changed, plastic) in CHANGES.items():
        rates = {field: rate for field, rate in {**arm.outer_rates, **changed}.items() if rate is not None}
        found[name] = Arm(label, {**arm.options, **options}, rates, plastic)
    return found


@dataclass(frozen=True)
class Ablations(AbstractImages):
    """Variants of learned feedback with local plasticity, all else equal.

    Attributes:
        stream: whether classes come mixed (``"iid"``) or one after the other (``"continual"``).
    """

    name = "lindsey2020/ablations"
    title = "Learned feedback and Oja's rule, piece by piece"
    labels: ClassVar[Mapping[str, str]] = {name: label for name, (label, *_) in CHANGES.items()}
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "smoke": {**SMOKE_PRESET, "test_counts": (3,)},
        "quick": {**QUICK_PRESET, "meta_steps": 500, "test_episodes": 40, "outputs": 20, "test_counts": (5, 10, 20)},
        "paper": {"test_episodes": 100},
    }

    stream: Order = "iid"

    @property
    def order(self) -> Order:  # type: ignore[override]
        return self.stream

    @property
    def counts(self) -> tuple[int, ...]:
        return (self.ways,) if self.stream == "iid" else self.test_counts

    @classmethod
    def recipes(cls) -> Mapping[str, Mapping[str, Arm]]:
        quick = variants(QUICK_BASE)
        few = {name: quick[name] for name in ("flp", "hebb", "error", "one_for_all", "plastic3")}
        return {"paper": variants(PUBLISHED_FLP), "quick": quick, "smoke": few}
