"""Learned rules that are shipped with the package as data files, to be used without meta-training."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import msgspec
import numpy as np

from metaplax.plasticity.coefficients import GlobalCoefficients, LayerCoefficients, Sharing
from metaplax.plasticity.rule import Rule
from metaplax.plasticity.rule_files import OwnTerm, entry_of, is_path, read, text_of
from metaplax.plasticity.terms import ALL_TERMS, FURTHER_TERMS

KNOWN = {term.name: term for term in (*ALL_TERMS, *FURTHER_TERMS)}
"""The terms that a learned rule may contain, by name."""

NO_ACCURACY = {"mean": math.nan, "ci_low": math.nan, "ci_high": math.nan}

Numbers = tuple[float | tuple[float, ...], ...]
"""One number per term, or one row of such numbers for each layer ``1..L``."""


class UnknownRuleError(ValueError):
    """There is no learned rule of this name; the message suggests the nearest one."""


@dataclass(frozen=True)
class LearnedRule:
    """A rule that meta-training found, and its provenance. Coefficients have no unit.

    Attributes:
        name: name by which it is loaded, e.g. ``"shervani2023/f_bio"``.
        summary: description in one sentence.
        terms: names of the terms, as in ``ALL_TERMS`` and ``FURTHER_TERMS``.
        coefficients: coefficient of each term, the mean over trials at the end of meta-training; one row per layer if
            ``sharing`` is ``"layer"``.
        ci_low: lower ends of the 98 % intervals of the coefficients over trials, of the same shape.
        ci_high: upper ends of these intervals.
        feedback: name of the feedback pathway that it was learned with, e.g. ``"random"`` or ``"symmetric"``.
        provenance: ``experiment``, ``arm``, ``preset``, ``data``, ``trials``, ``meta_steps``, ``seed``, ``commit``,
            ``sizes`` of the network, and ``accuracy``: ``mean``, ``ci_low`` and ``ci_high`` over trials, each with the
            coefficients that this trial learned, as fractions.
        sharing: which synapses share a coefficient: ``"global"`` or ``"layer"``.

    Raises:
        ValueError: a term is unknown or occurs twice, or the coefficients or their intervals do not fit the terms, are
            not finite numbers or contradict each other.
    """

    name: str
    summary: str
    terms: tuple[str, ...]
    coefficients: Numbers
    ci_low: Numbers
    ci_high: Numbers
    feedback: str
    provenance: Mapping[str, Any] = field(hash=False)
    sharing: Sharing = "global"

    def __post_init__(self):
        texts = (self.name, self.summary, self.feedback, *self.terms)
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"name, summary, feedback and terms of {self.name!r} must be texts")
        if unknown := [name for name in self.terms if name not in KNOWN]:
            raise ValueError(f"{self.name} has a term {unknown[0]!r}, but there are only {', '.join(KNOWN)}")
        if self.sharing not in ("global", "layer"):
            raise ValueError(f"{self.name} shares its coefficients globally or per layer, not per {self.sharing!r}")
        if not self.terms or len(set(self.terms)) < len(self.terms):
            raise ValueError(f"{self.name} needs different terms, at least one, but has {self.terms}")
        shapes = {_shape(numbers) for numbers in (self.coefficients, self.ci_low, self.ci_high)}
        shape = shapes.pop()
        if shapes or len(shape) != (1 if self.sharing == "global" else 2) or shape[-1] != len(self.terms):
            raise ValueError(
                f"{self.name} needs a coefficient and both ends of its interval for each of its {len(self.terms)} terms"
                + (" in each layer" if self.sharing == "layer" else "")
            )
        if not np.all(np.isfinite(self.coefficients)) or not np.all(np.less_equal(self.ci_low, self.ci_high)):
            raise ValueError(f"{self.name} needs finite coefficients and intervals whose lower end is the lower one")

        accuracy = self.provenance.get("accuracy", NO_ACCURACY)
        if not isinstance(accuracy, Mapping) or not all(
            isinstance(accuracy.get(key), int | float) for key in NO_ACCURACY
        ):
            raise ValueError(f"the accuracy of {self.name} must be {', '.join(NO_ACCURACY)} as numbers, not {accuracy}")

    @classmethod
    def from_json(cls, text: str) -> "LearnedRule":
        """A learned rule from the text of its file, in which ``sharing`` may be left out if it is ``"global"``.

        Raises:
            ValueError: the text is not JSON, or its entries are missing, unknown or contradictory.
        """
        try:
            entry = msgspec.json.decode(text, type=dict[str, Any])
            strange = entry.keys() - {field.name for field in fields(cls)}
            if strange:
                raise ValueError(f"it has a {min(strange)!r}, which is unknown")
            return msgspec.convert(entry, cls)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"this is not the file of a learned rule: {error}") from error

    def as_json(self) -> str:
        """The text of its file."""
        entry = asdict(self)
        if self.sharing == "global":
            del entry["sharing"]
        return json.dumps(entry, indent=1, ensure_ascii=False) + "\n"

    def rule(self) -> Rule:
        """The rule itself; with coefficients per layer it fits networks of that number of layers only."""
        values = jnp.asarray(self.coefficients, jnp.result_type(float))
        coefficients = GlobalCoefficients(values) if self.sharing == "global" else LayerCoefficients(values)
        return Rule(tuple(KNOWN[name]() for name in self.terms), coefficients)

    def __str__(self) -> str:
        told = {
            "experiment": "unknown",
            "data": "unknown",
            "trials": "unknown",
            "accuracy": NO_ACCURACY,
            **self.provenance,
        }
        accuracy = told["accuracy"]
        return (
            f"{self.name}: {self.summary}\n{self.rule()}\n"
            f"learned by {told['experiment']} on {told['data']} with {self.feedback} feedback, "
            f"accuracy {accuracy['mean']:.3f} [{accuracy['ci_low']:.3f}, {accuracy['ci_high']:.3f}] "
            f"(n = {told['trials']})"
        )


def available() -> tuple[str, ...]:
    """Names of all learned rules, sorted."""
    return tuple(sorted(_entries()))


def describe(name: str) -> LearnedRule:
    """A learned rule with its intervals and provenance.

    Raises:
        UnknownRuleError: there is no rule of this name.
    """
    entries = _entries()
    if name not in entries:
        near = get_close_matches(name, entries, 1, 0.2)
        hint = f"did you mean {near[0]!r}" if near else f"there are {', '.join(sorted(entries))}"
        raise UnknownRuleError(f"there is no learned rule {name!r}: {hint}")
    return LearnedRule.from_json(entries[name].read_text(encoding="utf-8"))


def load(name: str | Path, terms: Sequence[OwnTerm] = ()) -> Rule:
    """A learned rule by name, or a rule from a file of one's own.

    The coefficients are meta-parameters as in any other rule, so that meta-training can continue from them;
    ``metaplax.learners.freeze`` makes them constants. Nothing is imported or executed because a file says so.

    Args:
        name: of a rule that comes with the package: its terms with the mean coefficients over trials. Or the path of
            a ``.json`` file that ``Rule.save`` or ``metaplax rules export`` has written.
        terms: terms of one's own that the file may hold: their classes, or what ``metaplax.plasticity.term`` made.

    Raises:
        UnknownRuleError: there is no rule of this name.
        ValueError: the file is not that of a rule, damaged, of a later version, or holds a term that is neither of this
            package nor among ``terms``.
        OSError: the file cannot be read.
    """
    if not is_path(name):
        return describe(str(name)).rule()
    text = text_of(name)
    if (entry := entry_of(name, text)) is not None:
        return read(name, entry, Rule, terms)
    try:
        return LearnedRule.from_json(text).rule()
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _entries() -> dict[str, Traversable]:
    """The files of all learned rules by name."""
    return dict(_walk(files("metaplax.plasticity") / "learned", ""))


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".json"):
            yield prefix + entry.name.removesuffix(".json"), entry


def _shape(numbers: Numbers) -> tuple[int, ...]:
    """Shape of a vector or a table; ``()`` if its rows differ in length."""
    try:
        return np.shape(numbers)
    except ValueError:
        return ()
