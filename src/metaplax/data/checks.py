"""Checks of arguments: what cannot be meant is refused with one sentence, before anything is computed."""

from collections.abc import Collection

import numpy as np


def check_sizes(*, at_least: int = 1, **sizes: int) -> None:
    """Raise ``ValueError`` unless all these arguments are integers and none is below ``at_least``."""
    for name, value in sizes.items():
        if not isinstance(value, int | np.integer):
            raise ValueError(f"{name} must be an integer, not {value!r}")
        if value < at_least:
            raise ValueError(f"{name} must be at least {at_least}, not {value}")


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Raise ``ValueError`` unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")


def check_finite(name: str, array: np.ndarray) -> None:
    """Refuse an array that holds something else than finite numbers, such as NaN, text or objects.

    Raises:
        ValueError: it does.
    """
    if array.dtype.kind not in "biuf" or not np.all(np.isfinite(array)):
        raise ValueError(f"{name} of dtype {array.dtype} holds something else than finite numbers")
