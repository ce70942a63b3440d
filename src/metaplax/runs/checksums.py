"""Checksums inside JSON objects: they tell numbers that were damaged on the disk from those that were written."""

import hashlib
import json
import re
from typing import Any

KEY = "checksum"
BROKEN = "it does not fit its checksum (after changes of your own, delete that)"
SEAL = re.compile(rb',"checksum":"([0-9a-f]{16})"}\s*\Z')
EDITABLE = "config"
"""The fields of an experiment in ``config.json``, which a user may change: more meta-steps, for example."""


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """The same object with its checksum."""
    return {**value, KEY: _checksum(value)}


def unsealed(value: Any) -> dict[str, Any]:
    """The same object without its checksum, if it has one.

    Raises:
        ValueError: it is no object, or its checksum is that of another one; part of a sentence.
    """
    if not isinstance(value, dict):
        raise ValueError("it holds no object")
    if KEY in value and value[KEY] != _checksum(value):
        raise ValueError(BROKEN)
    return {name: part for name, part in value.items() if name != KEY}


def sealed_line(line: bytes) -> bytes:
    """A JSON object on one line, with its checksum as the last entry; of its text, as there are many lines."""
    return line[:-1] + f',"{KEY}":"{_digest(line)}"}}'.encode()


def unsealed_line(line: bytes, value: dict[str, Any]) -> dict[str, Any]:
    """What a line holds, without its checksum, if it has one.

    Raises:
        ValueError: its checksum is that of another one; part of a sentence.
    """
    if KEY not in value:
        return value
    seal = SEAL.search(line)
    if seal is None or _digest(line[: seal.start()] + b"}") != seal[1].decode():
        raise ValueError(BROKEN)
    del value[KEY]
    return value


def _checksum(value: dict[str, Any]) -> str:
    counted = {name: part for name, part in value.items() if name not in (KEY, EDITABLE)}
    return _digest(json.dumps(counted, sort_keys=True).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
