"""The runs of a sweep: every combination of the values of fields, or one value of each in turn, with every seed."""

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from metaplax.runs.sweep_folder import value_text

MOST_RUNS = 100_000
LONGEST = 120
"""Characters of the longest name of a run folder."""


def combined(fields: Mapping[str, Sequence[Any]], *, in_turn: bool) -> list[dict[str, Any]]:
    """The settings, in the order of the fields; the last field changes fastest.

    Args:
        fields: values by name.
        in_turn: take the first value of every field, then the second one of every field, ... (``--zip``).

    Raises:
        ValueError: a value is there twice, or fields have different numbers of values to be taken in turn.
    """
    for name, values in fields.items():
        twice = next((value for n, value in enumerate(values) if value in values[:n]), None)
        if twice is not None:
            raise ValueError(f"{name} has the value {value_text(twice)} twice")
    counts = {name: len(values) for name, values in fields.items()}
    if in_turn and len(set(counts.values())) > 1:
        raise ValueError(
            f"--zip needs as many values of every field, not {', '.join(f'{n} of {f}' for f, n in counts.items())}"
        )
    rows = zip(*fields.values(), strict=True) if in_turn and fields else itertools.product(*fields.values())
    return [dict(zip(fields, row, strict=True)) for row in itertools.islice(rows, MOST_RUNS + 1)]


def tasks(settings: Sequence[dict[str, Any]], seeds: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Every setting with every seed, by the name of its run folder.

    Seeds change slowest: the first runs that are begun have different settings, each compiles its own program, and
    later ones find them compiled.

    Raises:
        ValueError: there are too many.
    """
    if len(settings) * len(seeds) > MOST_RUNS:
        raise ValueError(f"a sweep has at most {MOST_RUNS:,} runs")
    found: dict[str, dict[str, Any]] = {}
    for seed, setting in itertools.product(seeds, settings):
        found[run_name(setting, seed)] = {"setting": setting, "seed": seed}
    return found


def run_name(setting: Mapping[str, Any], seed: int) -> str:
    """The name of a run folder: ``l1=0.1,seed=3``; with a checksum, where a value is no short plain word."""
    parts = {**setting, "seed": seed}
    text = ",".join(f"{name}={value_text(value)}" for name, value in parts.items())
    plain = re.sub(r"[^\w.,=+-]+", "_", text, flags=re.ASCII)
    if plain == text.replace(" ", "_") and len(plain) <= LONGEST:
        return plain
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
    return f"{plain[:LONGEST]},{digest}"
