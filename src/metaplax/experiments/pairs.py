"""Differences between two arms of a run, trial by trial, as quantities and as sentences."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from metaplax.analysis import Quantity, over_trials

Pairs = Sequence[tuple[str, str]]
"""Arms: the second one is subtracted from the first."""


def differences(values: Mapping[str, np.ndarray], pairs: Pairs, loss_unit: str) -> list[Quantity]:
    """The difference of every pair, with an interval over trials: ``accuracy_difference.one.other``.

    Args:
        values: one number per trial, shape ``(trials,)``, by name, ``accuracy.one``; or ``loss.one``, if there are no
            accuracies.
        pairs: names of arms; those that were not run are left out.
        loss_unit: unit of losses.
    """
    found = []
    for one, other in pairs:
        measures = [name for name in ("accuracy", "loss") if {f"{name}.{one}", f"{name}.{other}"} <= values.keys()]
        for name in measures[:1]:
            difference = values[f"{name}.{one}"] - values[f"{name}.{other}"]
            unit = "1" if name == "accuracy" else loss_unit
            found.append(over_trials(f"{name}_difference.{one}.{other}", difference, unit))
    return found


def difference_findings(quantities: Mapping[str, Quantity], pairs: Pairs, label: Callable[[str], str]) -> list[str]:
    """A sentence on every difference between arms, which ``label`` gives names for people."""
    return [
        f"{what} of {label(one)} minus {label(other)}: {difference.with_interval()}"
        for one, other in pairs
        for what in ("accuracy", "loss")
        if (difference := quantities.get(f"{what}_difference.{one}.{other}"))
    ]
