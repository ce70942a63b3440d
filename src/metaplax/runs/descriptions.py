"""What ``config.json`` tells readers of a run folder: what its studies are, and how reports show them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ReportOptions:
    """How tables and figures show the studies of an experiment.

    Attributes:
        averaged: number of last rows of a study over which a quantity is averaged.
        axis: what one step of a study is called.
        stride: by how much one step advances the axis.
        x_values: positions of the steps on a logarithmic axis; ``None`` if steps are simply counted.
        headline: quantities of every study that tables show; the first one with its interval.
        loss_unit: unit of outer losses.
        by_cost: whether reports also plot outer losses against processor time.
        scanned: if arms differ in one number, what that number is called; else empty.
        curve: the quantity that is drawn against that number, both on logarithmic axes, in place of coefficients.
        validation: quantities of main studies that are measured on data which are kept for choosing settings.
    """

    averaged: int = 100
    axis: str = "episode"
    stride: int = 1
    x_values: tuple[float, ...] | None = None
    headline: tuple[str, ...] = ("accuracy", "loss")
    loss_unit: str = "nats"
    by_cost: bool = False
    scanned: str = ""
    curve: str = ""
    validation: tuple[str, ...] = ()


@dataclass(frozen=True)
class StudyDescription:
    """What a study measures.

    Attributes:
        arm: name of what is compared with others, such as a rule or an estimator.
        condition: name of where or how it is measured; empty for the main study of the arm.
        arm_label: what figures and tables call the arm.
        group: title of the plot that the study shares with others: its condition, or the problem it is about.
        variant: what else tells it from others with the same arm and group; drawn as another line style.
        scanned: its value of the number in which arms differ, if they do.
    """

    arm: str
    condition: str
    arm_label: str
    group: str = ""
    variant: str = ""
    scanned: float | None = None

    @property
    def label(self) -> str:
        """What to call the study on its own."""
        return ", ".join(part for part in (self.arm_label, self.group, self.variant) if part)


def with_tuples(value: Any) -> Any:
    """The same value with tuples in place of the lists that JSON makes of them."""
    return tuple(map(with_tuples, value)) if isinstance(value, list) else value
