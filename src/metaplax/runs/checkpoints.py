"""Checkpoints that survive: written whole or not at all by orbax, with checksums, a few kept."""

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from metaplax.runs.run_folder import RunFolder

KEEP = 3
CHECKSUMS = "checksums.json"


class CheckpointError(Exception):
    """A checkpoint cannot be used or written; the message is one sentence."""


def fingerprint(tree: PyTree) -> str:
    """The structure of a pytree as text that is the same in every process: no values of arrays, no memory addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", eqx.tree_pformat(tree))


class Checkpoints:
    """The checkpoints of one meta-training.

    Each is a folder named by the number of steps done. Its files' checksums are written last: a checkpoint
    without them was cut short and is ignored.

    Args:
        folder: where they are.
        fingerprint: text that says what they belong to; checkpoints of something else are refused.
    """

    def __init__(self, folder: Path | str, fingerprint: str):
        self.folder = Path(folder).absolute()
        self.fingerprint = fingerprint

    def steps(self) -> list[int]:
        """Steps at which there is a complete checkpoint, ascending."""
        found = self.folder.glob(f"*/{CHECKSUMS}") if self.folder.is_dir() else []
        return sorted(int(path.parent.name) for path in found if path.parent.name.isdigit())

    def save(self, done: int, state: PyTree) -> None:
        """Write the state after ``done`` steps, then delete the oldest checkpoints.

        Raises:
            CheckpointError: it cannot be written; the earlier ones are untouched.
        """
        import orbax.checkpoint as ocp  # slow to import

        target = self.folder / str(done)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            with _silent(), ocp.StandardCheckpointer() as checkpointer:
                checkpointer.save(target / "state", _numbered(state), force=True)
            about = {"fingerprint": self.fingerprint, "files": _checksums(target, self.fingerprint)}
            RunFolder(target).write_json(CHECKSUMS, about)
        except Exception as error:
            raise CheckpointError(f"the checkpoint {target} cannot be written: {_reason(error)}") from error
        kept = {str(step) for step in self.steps()[-KEEP:]}
        for old in self.folder.iterdir():
            if old.name not in kept:
                shutil.rmtree(old, ignore_errors=True)

    def latest(self, start: PyTree) -> tuple[int, PyTree]:
        """Number of steps done and state of the newest intact checkpoint; ``(0, start)`` if there is no checkpoint.

        A damaged checkpoint is skipped with a warning on standard error.

        Raises:
            CheckpointError: there are checkpoints but none is intact, or they belong to something else.
        """
        steps = self.steps()
        for done in reversed(steps):
            damage = self._damage(done)
            if damage is None:
                return done, self._restore(done, start)
            print(f"warning: the checkpoint {self.folder / str(done)} is damaged ({damage})", file=sys.stderr)
        if steps:
            raise CheckpointError(
                f"none of the checkpoints in {self.folder} is intact: delete that folder to start this study again"
            )
        return 0, start

    def _damage(self, done: int) -> str | None:
        target = self.folder / str(done)
        try:
            about = json.loads((target / CHECKSUMS).read_text(encoding="utf-8"))
            expected, actual = about["files"], _checksums(target, about["fingerprint"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return f"{CHECKSUMS}: {type(error).__name__}"
        for name in sorted(expected.keys() | actual.keys()):
            if name not in actual:
                return f"{name} is missing"
            if actual[name] != expected.get(name):
                return f"{name} is not what was written"
        return None

    def _restore(self, done: int, start: PyTree) -> PyTree:
        import orbax.checkpoint as ocp  # slow to import

        target = self.folder / str(done)
        found = json.loads((target / CHECKSUMS).read_text(encoding="utf-8"))["fingerprint"]
        if found != self.fingerprint:
            was, now = _difference(found, self.fingerprint)
            raise CheckpointError(f"the checkpoint {target} belongs to another study: it has {was}, not {now}")
        leaves, structure = jax.tree.flatten(start)
        try:
            with _silent(), ocp.StandardCheckpointer() as checkpointer:
                restored = checkpointer.restore(target / "state", _numbered(jax.tree.map(np.asarray, start)))
        except (ValueError, KeyError, OSError) as error:
            raise CheckpointError(
                f"the checkpoint {target} cannot be read by this version of metaplax: {_reason(error)}"
            ) from error
        values = []
        for name, leaf in _numbered(leaves).items():
            if restored[name].shape != leaf.shape:
                raise CheckpointError(
                    f"the checkpoint {target} belongs to another configuration: it has an array of shape"
                    f" {restored[name].shape} in place of {leaf.shape}"
                )
            values.append(jax.numpy.asarray(restored[name], leaf.dtype))
        return jax.tree.unflatten(structure, values)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep orbax from logging a failure, which the caller reports in one sentence."""
    logger = logging.getLogger("absl")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def _reason(error: Exception) -> str:
    """The operating system's message, also where a library has wrapped it in its own words."""
    said = getattr(error, "strerror", None) or str(error).split("\n")[0]
    known = [os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)]
    return next((reason for reason in known if reason in said), said)


def _numbered(state: PyTree) -> dict[str, np.ndarray | jax.Array]:
    """The leaves by the names under which they are stored: their positions."""
    return {f"leaf{index:04d}": leaf for index, leaf in enumerate(jax.tree.leaves(state))}


def _checksums(target: Path, fingerprint: str) -> dict[str, str]:
    """Checksums of all files of a checkpoint, and of its fingerprint."""
    files = sorted(path for path in target.rglob("*") if path.is_file() and not path.name.startswith(CHECKSUMS))
    found = {str(path.relative_to(target)): _digest(path.read_bytes()) for path in files}
    return {**found, CHECKSUMS: _digest(fingerprint.encode())}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _difference(first: str, second: str, width: int = 60) -> tuple[str, str]:
    """The first place where two texts differ, a few words of each."""
    at = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second)))
    start = max(first.rfind(" ", 0, at), first.rfind("(", 0, at)) + 1
    return tuple(repr(text[start : start + width].replace("\n", " ")) for text in (first, second))  # pyright: ignore
