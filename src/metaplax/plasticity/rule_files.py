"""Rules in JSON files of one's own: written, and read back to the bit."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from metaplax._files import write_whole
from metaplax._stored import NotStorableError, Reader, check_fields, stored
from metaplax.plasticity.terms import AbstractTerm, FunctionTerm

FORMAT, VERSION = "metaplax rule", 1
ROW = re.compile(r"\[\n\s*([^\[\]{}]*?)\n\s*\]")
"""A list without lists in it, over several lines of JSON."""
LARGEST = 1 << 28
"""Bytes of the largest file that is read."""

Module = TypeVar("Module")
OwnTerm = type[AbstractTerm] | AbstractTerm
"""A class of one's own; or a term that ``term`` has made of a function, which no file can hold."""


def is_path(name: str | Path) -> bool:
    """Whether a rule is asked for by its file, and not by its name."""
    return isinstance(name, Path) or name.endswith(".json")


def write(path: str | Path, rule: Any) -> None:
    """Write a rule into a file, all or nothing.

    Raises:
        ValueError: the rule has a leading axis of trials, or holds something that no file can hold.
        OSError: the file cannot be written.
    """
    for part in (rule.coefficients, *rule.terms):
        try:
            check_fields(part)
        except ValueError as error:
            raise ValueError(
                f"this rule is not one rule: {error}; of a result, save the rule of result.trial(i) or result.mean()"
            ) from None
    name_of = lambda value: value.name if isinstance(value, FunctionTerm) else None  # noqa: E731
    try:
        found = stored(rule, given=name_of)
    except NotStorableError as error:
        raise NotStorableError(f"this rule cannot be saved: {error}") from None
    entry = {"format": FORMAT, "version": VERSION, "equation": str(rule), "rule": found}
    text = json.dumps(entry, indent=1, ensure_ascii=False, allow_nan=False)
    on_one_line = ROW.sub(lambda row: f"[{' '.join(row[1].split())}]", text)
    write_whole(Path(path), f"{on_one_line}\n".encode())


def text_of(path: str | Path) -> str:
    """The text of a file.

    Raises:
        ValueError: it is not a regular file, too large, or not text.
        OSError: it cannot be read.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a regular file")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} is not the file of a rule: it has more than {LARGEST >> 20} MB")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not the file of a rule: it is not text") from None


def entry_of(path: str | Path, text: str) -> Mapping[str, Any] | None:
    """What the text of such a file holds; ``None`` if it is a JSON object without the name of a format.

    Raises:
        ValueError: it is not the file of a rule, or one that a later version has written.
    """
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not the file of a rule: it is not JSON, or damaged") from error
    if isinstance(entry, dict) and "format" not in entry:
        return None
    if not isinstance(entry, dict) or entry["format"] != FORMAT or type(entry.get("version")) is not int:
        raise ValueError(f"{path} is not the file of a rule")
    if entry["version"] > VERSION:
        raise ValueError(
            f"{path} was written by a later version of metaplax: its format is number {entry['version']}, and this"
            f" version reads up to {VERSION}"
        )
    return entry


def read(path: str | Path, entry: Mapping[str, Any], kind: type[Module], terms: Sequence[OwnTerm] = ()) -> Module:
    """The rule that an entry of ``entry_of`` describes.

    Args:
        path: where it is from.
        entry: what the file holds.
        kind: the class of rules.
        terms: terms of one's own that it may have.

    Raises:
        ValueError: the file is damaged, or holds a term that is neither of this package nor among ``terms``.
    """
    own = [term for term in terms if isinstance(term, type)]
    given = {term.name: term for term in terms if not isinstance(term, type)}
    try:
        rule = Reader(own, given).read(entry.get("rule"))
        if type(rule) is not kind:
            raise ValueError("it holds no rule")
        _check_size(rule)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as a rule: {' '.join(str(error).split())}") from error
    return rule


def _check_size(rule: Any) -> None:
    """Refuse a rule that has not one coefficient for each of its terms."""
    for coefficients in filter(None, (rule.coefficients, rule.constants)):
        values = coefficients.values
        rows = values if isinstance(values, tuple) else (values if values.ndim == 2 else values[None])
        if any(len(row) != len(rule.terms) for row in rows):
            raise ValueError(f"it has not one coefficient for each of its {len(rule.terms)} terms")
    if strange := set(rule.held) - {term.name for term in rule.terms}:
        raise ValueError(f"it holds the coefficient of {min(strange)!r}, which is none of its terms")
    if rule.held and type(rule.constants) is not type(rule.coefficients):
        raise ValueError("it holds coefficients whose values are missing")
