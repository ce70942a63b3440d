"""Checkpoints that survive: written whole or not at all by orbax, with checksums, a few kept."""

import errno
import hashlib
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from metaplax._files import refuse_links
from metaplax.runs.hosts import is_first, process_count
from metaplax.runs.run_folder import RunFolder, RunFolderError

KEEP = 3
MANIFEST = "checksums.json"
PARTIAL = ".partial"
SIMPLE = (str, int, float, tuple)
STEP = re.compile(r"0|[1-9][0-9]*")


class CheckpointError(Exception):
    """A checkpoint cannot be used or written; the message is one sentence."""


def fingerprint(tree: PyTree) -> str:
    """The structure of a pytree as text that is the same in every process: no values of arrays, no memory addresses."""
    return _lasting(eqx.tree_pformat(tree, truncate_leaf=_share_defaults))


def _share_defaults(node: Any) -> bool:
    """Put the default of a field in the place of an equal value; false, for ``tree_pformat``.

    Equinox leaves a field out if it holds the very object that is its default, which text that was read from a file
    never is.
    """
    if is_dataclass(node) and not isinstance(node, type):
        held = vars(node)
        for field in fields(node):
            value = held.get(field.name)
            if isinstance(value, SIMPLE) and type(value) is type(field.default) and repr(value) == repr(field.default):
                held[field.name] = field.default
    return False


def _lasting(text: str) -> str:
    """A fingerprint without what differs between processes: addresses, line breaks due to them, the order of sets."""
    text = re.sub(r"\s+", " ", re.sub(r" at 0x[0-9a-fA-F]+", "", text))
    text = re.sub(r"(?<=[(\[{]) | (?=[)\]}])", "", text)
    return re.sub(r"\{([^{}:]+)\}", lambda found: f"{{{', '.join(sorted(found[1].split(', ')))}}}", text)


_in_memory: dict[Path, tuple[int, PyTree]] = {}
"""The newest checkpoints of a process that is not the first one of a run, which nobody reads again."""


class Checkpoints:
    """The checkpoints of one study.

    Each is a folder named by the number of steps done. It is written under another name first, with a manifest of what
    it belongs to and of the checksums of its files.

    Args:
        folder: where they are; it has the name of the study.
        fingerprint: text that says what they belong to; checkpoints of something else are refused.
    """

    def __init__(self, folder: Path | str, fingerprint: str):
        self.folder = Path(folder).absolute()
        self.fingerprint = _lasting(fingerprint)

    def steps(self) -> list[int]:
        """Steps at which there is a complete checkpoint, ascending."""
        found = self.folder.glob(f"*/{MANIFEST}") if self.folder.is_dir() else []
        return sorted(int(path.parent.name) for path in found if STEP.fullmatch(path.parent.name))

    def save(self, done: int, state: PyTree) -> None:
        """Write the state after ``done`` steps, then delete the oldest checkpoints, and later ones.

        Raises:
            CheckpointError: it cannot be written; the earlier ones are untouched.
        """
        if not is_first():
            _in_memory[self.folder] = done, state
            return
        import orbax.checkpoint as ocp  # slow to import

        target, partial = self.folder / str(done), self.folder / f"{done}{PARTIAL}"
        try:
            refuse_links(self.folder)
            self.folder.mkdir(parents=True, exist_ok=True)
            _delete(partial)
            partial.mkdir()
            with _silent(), ocp.StandardCheckpointer(multiprocessing_options=_alone()) as checkpointer:
                checkpointer.save(partial / "state", _numbered(state))
            belongs = {"study": self.folder.name, "step": done, "fingerprint": self.fingerprint}
            RunFolder(partial).write_json(MANIFEST, {**belongs, "files": _checksums(partial)})
            _delete(target)
            partial.rename(target)
        except Exception as error:
            raise CheckpointError(f"the checkpoint {target} cannot be written: {_reason(error)}") from error
        # What is there of later steps was passed over when the study was resumed: it is damaged.
        kept = {str(step) for step in [step for step in self.steps() if step <= done][-KEEP:]}
        for old in self.folder.iterdir():
            if old.name not in kept:
                _delete(old)

    def clear(self) -> None:
        """Delete all checkpoints."""
        if self.folder.is_dir() and not self.folder.is_symlink():
            for old in self.folder.iterdir():
                _delete(old)

    def latest(self, start: PyTree, most: int | None = None) -> tuple[int, PyTree]:
        """Number of steps done and state of the newest intact checkpoint; ``(0, start)`` if there is no checkpoint.

        One that is damaged, or was written as another one, is passed over with a warning on standard error.

        Args:
            start: the state before the first step.
            most: largest number of steps whose records are there; later checkpoints are passed over, if there are
                earlier ones.

        Raises:
            CheckpointError: there are checkpoints but none is intact, or they belong to something else.
        """
        if self.folder in _in_memory:
            return _in_memory[self.folder]
        steps = self.steps()
        if most is not None and any(step <= most for step in steps):
            for late in (step for step in steps if step > most):
                told = f"{late} is passed over: only {most} steps are recorded"
                print(f"warning: the checkpoint {self.folder}/{told}", file=sys.stderr)
            steps = [step for step in steps if step <= most]
        for done in reversed(steps):
            wrong = self._wrong(done)
            if wrong is None:
                return done, self._restore(done, start)
            print(f"warning: the checkpoint {self.folder / str(done)} {wrong}", file=sys.stderr)
        if steps:
            raise CheckpointError(
                f"none of the checkpoints in {self.folder} is intact: delete that folder to start this study again"
            )
        return 0, start

    def _manifest(self, done: int) -> dict[str, Any]:
        return RunFolder(self.folder / str(done)).read_json(MANIFEST)

    def _wrong(self, done: int) -> str | None:
        """Why a checkpoint cannot be used, if so."""
        target, study = self.folder / str(done), self.folder.name
        if target.is_symlink():
            return "is a link"
        try:
            manifest = self._manifest(done)
            damage = _damage(manifest, _checksums(target))
            was = manifest.get("step", done), manifest.get("study", study)
        except (OSError, RunFolderError, KeyError, TypeError, AttributeError) as error:
            return f"is damaged ({MANIFEST}: {type(error).__name__})"
        if damage:
            return f"is damaged ({damage})"
        return None if was == (done, study) else f"was not written here, but after {was[0]} steps of study {was[1]!r}"

    def _restore(self, done: int, start: PyTree) -> PyTree:
        import orbax.checkpoint as ocp  # slow to import

        target = self.folder / str(done)
        manifest = self._manifest(done)
        found = _lasting(manifest["fingerprint"])
        # Earlier versions did not leave out every default.
        if found != self.fingerprint and ("study" in manifest or not _is_within(self.fingerprint, found)):
            was, now = _difference(found, self.fingerprint)
            raise CheckpointError(f"the checkpoint {target} belongs to another study: it has {was}, not {now}")
        leaves, structure = jax.tree.flatten(start)
        try:
            with _silent(), ocp.StandardCheckpointer(multiprocessing_options=_alone()) as checkpointer:
                restored = checkpointer.restore(target / "state", _numbered(jax.tree.map(np.asarray, start)))
                # What is restored has the types that were asked for.
                written = checkpointer.metadata(target / "state").item_metadata
        except (ValueError, KeyError, OSError) as error:
            raise CheckpointError(
                f"the checkpoint {target} cannot be read by this version of metaplax: {_reason(error)}"
            ) from error
        values = []
        for name, leaf in _numbered(leaves).items():
            if restored[name].shape != np.shape(leaf):
                raise CheckpointError(
                    f"the checkpoint {target} belongs to another configuration: it has an array of shape"
                    f" {restored[name].shape} in place of {np.shape(leaf)}"
                )
            wanted = getattr(leaf, "dtype", np.asarray(leaf).dtype)
            if written[name].dtype != wanted:
                raise CheckpointError(
                    f"the checkpoint {target} was written in another precision: it holds {written[name].dtype} in place"
                    f" of {wanted}; set JAX_ENABLE_X64 as it was"
                )
            values.append(_like(leaf, restored[name]))
        return jax.tree.unflatten(structure, values)


def _alone() -> Any:
    """Options with which a process reads and writes checkpoints without waiting for others."""
    import orbax.checkpoint as ocp  # slow to import

    if process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    mine = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=mine, active_processes={mine}, barrier_sync_key_prefix=f"process{mine}"
    )


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


def _like(leaf: Any, value: np.ndarray | jax.Array) -> Any:
    """A value that was read, in the kind and type of the leaf that it stands for: JAX may not know the type."""
    if isinstance(leaf, jax.Array):
        return jax.numpy.asarray(value, leaf.dtype)
    found = np.asarray(value, np.asarray(leaf).dtype)
    return found if isinstance(leaf, np.ndarray | np.generic) else found.item()


def _delete(folder: Path) -> None:
    """Delete a checkpoint, complete or not; what we have not written stays."""
    if not STEP.fullmatch(folder.name.removesuffix(PARTIAL)) or folder.is_symlink() or not folder.is_dir():
        return
    if all(found.name.startswith(("state", MANIFEST)) for found in folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)


def _checksums(target: Path) -> dict[str, str]:
    """Checksums of all files of a checkpoint but its manifest."""
    files = sorted(path for path in target.rglob("*") if path.is_file() and not path.name.startswith(MANIFEST))
    return {str(path.relative_to(target)): _digest(path.read_bytes()) for path in files}


def _damage(manifest: dict[str, Any], actual: dict[str, str]) -> str | None:
    """In what the files of a checkpoint differ from its manifest, given their checksums."""
    expected = manifest["files"]
    if "study" not in manifest:  # an earlier version, with the checksum of the fingerprint among those of the files
        actual = {**actual, MANIFEST: _digest(manifest["fingerprint"].encode())}
    for name in sorted(expected.keys() | actual.keys()):
        if name not in actual:
            return f"{name} is missing"
        if actual[name] != expected.get(name):
            return f"{name} is not what was written"
    return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_within(shorter: str, longer: str) -> bool:
    """Whether all words of a text are in another one, in this order."""
    words = iter(re.findall(r"\w+|\S", longer))
    return all(word in words for word in re.findall(r"\w+|\S", shorter))


def _difference(first: str, second: str, width: int = 60) -> tuple[str, str]:
    """The first place where two texts differ, a few words of each."""
    at = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second)))
    start = max(first.rfind(" ", 0, at), first.rfind("(", 0, at)) + 1
    return tuple(repr(text[start : start + width].replace("\n", " ")) for text in (first, second))  # pyright: ignore
