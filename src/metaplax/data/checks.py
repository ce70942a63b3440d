"""Checks of arguments: what cannot be meant is refused with one sentence, before anything is computed."""

from collections.abc import Collection

import numpy as np


def check_sizes(*, at_least: int = 1, **sizes: int) -> None:
    """Refuse arguments that are not integers or are too small.

    Args:
        at_least: smallest value that is accepted.
        sizes: the arguments by name.

    Raises:
        ValueError: a value is not an integer, or too small.
    """
    for name, value in sizes.items():
        if not isinstance(value, int | np.integer):
            raise ValueError(f"{name} must be an integer, not {value!r}")
        if value < at_least:
            raise ValueError(f"{name} must be at least {at_least}, not {value}")


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Refuse a word that is not one of several.

    Raises:
        ValueError: ``value`` is not among ``choices``.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")
