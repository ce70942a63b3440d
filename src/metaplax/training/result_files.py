"""What meta-training gives, in a folder: its arrays, and what the learner is made of; read back to the bit.

``result.json`` of a run folder is something else: the file here is ``meta-trained.json``. It names the file with the
arrays, and is written last, so that a folder holds the old result or the new one.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from metaplax._files import make_folder, write_whole
from metaplax._stored import NotStorableError, OwnClassError, Reader, as_jax, stored
from metaplax._version import __version__
from metaplax.learners import AbstractLearner, IncompatibleError, split
from metaplax.learners.trainable import with_frozen
from metaplax.runs import Row, RunFolderError, fingerprint
from metaplax.runs.checksums import sealed, unsealed
from metaplax.runs.schema import damage, explaining, opened_to_read, read_object

FORMAT, VERSION, NAME = "metaplax result", 1, "meta-trained.json"
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Kept:
    """What a folder keeps of a result.

    Attributes:
        given: the learner that meta-training was given.
        found: the meta-parameters that it has found, with a leading axis of trials.
        keys: one per trial.
        history: what was recorded, one row per meta-step.
        about: ``masked``, ``seconds`` and ``resample``.
    """

    given: AbstractLearner
    found: PyTree
    keys: Key[Array, " trials"]
    history: Sequence[Row]
    about: Mapping[str, Any]


def write(folder: Path, kept: Kept) -> None:
    """Write a result into a folder, in the place of one that is there.

    Raises:
        RunFolderError: it cannot be written.
    """
    leaves = _arrays_in(kept.given)
    place = {id(leaf): number for number, leaf in enumerate(leaves)}
    kind = lambda array: "numpy" if isinstance(array, np.ndarray) else "array"  # noqa: E731
    try:
        learner, why = stored(kept.given, lambda array: {kind(array): place[id(array)]}), None
    except NotStorableError as error:
        learner, why = None, str(error)
    names = list(kept.history[0]) if kept.history else []
    arrays = {f"given{k}": leaf for k, leaf in enumerate(leaves)}
    arrays |= {f"found{k}": leaf for k, leaf in enumerate(jax.tree.leaves(kept.found))}
    arrays |= {f"history.{name}": np.stack([row[name] for row in kept.history]) for name in names}
    plain, kinds = _plain({**arrays, "keys": kept.keys})
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **plain)
    digest = hashlib.sha256(stream.getvalue()).hexdigest()
    entry = {
        "format": FORMAT, "version": VERSION, "metaplax": __version__, "arrays": f"arrays-{digest[:16]}.npz",
        "sha256": digest, "kinds": kinds, "learner": learner, "why_not": why, "history": names,
        "fingerprint": fingerprint(kept.given), "frozen": list(kept.given.frozen), **kept.about,
    }  # fmt: skip
    with explaining(folder):
        make_folder(folder, below=folder)
        write_whole(folder / entry["arrays"], stream.getvalue())
        write_whole(folder / NAME, (json.dumps(sealed(entry), indent=1) + "\n").encode())
        for old in folder.glob(f"arrays-{'[0-9a-f]' * 16}.npz"):
            if old.name != entry["arrays"]:
                old.unlink()


def read(folder: Path, learner: AbstractLearner | None = None) -> Kept:
    """What a folder keeps.

    Args:
        folder: where it is.
        learner: the learner as it was given to meta-training, if no file can hold that.

    Raises:
        RunFolderError: there is no result, it is damaged, or a later version has written it.
        IncompatibleError: the learner is needed and was not given, or it is another one.
    """
    path = folder / NAME
    if not path.exists():
        raise RunFolderError(f"{folder} holds no result of meta-training: there is no {NAME} in it")
    entry = read_object(path)
    if entry.get("format") != FORMAT or type(entry.get("version")) is not int:
        raise RunFolderError(f"{path} is not the file of a result of meta-training")
    if entry["version"] > VERSION:
        raise RunFolderError(
            f"{path} was written by a later version of metaplax: its format is number {entry['version']}, and this"
            f" version reads up to {VERSION}"
        )
    with damage(path):
        arrays = _restored(_read_arrays(folder, unsealed(entry)), entry["kinds"])
        values = [arrays[f"given{k}"] for k in range(sum(name.startswith("given") for name in arrays))]
        made, why = _made(entry, values) if learner is None else (None, "")
    given = _like(folder, entry, values, learner, why) if made is None else made
    with damage(path):
        found, keys = _found(given, arrays), arrays["keys"]
        if not isinstance(keys, jax.Array):
            raise ValueError("its keys are none")
        columns = {name: np.asarray(arrays[f"history.{name}"]) for name in entry["history"]}
        steps = {len(column) for column in columns.values()}
        if len(steps) > 1:
            raise ValueError("its history has columns of different lengths")
        history = [{name: column[k] for name, column in columns.items()} for k in range(*steps)] if steps else []
        about = {name: entry[name] for name in ("masked", "seconds", "resample")}
        if [type(value) for value in about.values()] != [list, float, bool] or len(about["masked"]) != len(keys):
            raise ValueError("what it says about the trials makes no sense")
    return Kept(given, found, keys, history, about)


def _made(entry: Mapping[str, Any], values: Sequence[Any]) -> tuple[AbstractLearner | None, str]:
    """The learner that meta-training was given, of what the file says about it and the arrays in it; or why not."""
    if entry["learner"] is None:
        return None, entry["why_not"]
    array = lambda it: _value(values[it.get("array", it.get("numpy"))], "numpy" in it)  # noqa: E731
    try:
        found = Reader(array=array).read(entry["learner"])
    except OwnClassError as error:
        return None, str(error).partition(":")[0]
    if not isinstance(found, AbstractLearner):
        raise ValueError("it holds no learner")
    return found, ""


def _like(
    folder: Path, entry: Mapping[str, Any], values: Sequence[Any], learner: AbstractLearner | None, why: str
) -> AbstractLearner:
    """A learner that was given again, with the arrays that are kept.

    Raises:
        IncompatibleError: it was not given, or it is another one.
    """
    if learner is None:
        raise IncompatibleError(
            f"the learner of {folder} cannot be made from the file alone, since {why}: make it as"
            " before, and call load(folder, learner=...)"
        )
    like = with_frozen(learner, tuple(entry["frozen"]))
    leaves = _arrays_in(like)
    shapes = [[(leaf.shape, leaf.dtype) for leaf in them] for them in (leaves, values)]
    if fingerprint(like) != entry["fingerprint"] or shapes[0] != shapes[1]:
        raise IncompatibleError(f"{folder} is the result of another learner than the one that is given")
    new = iter(_value(value, isinstance(leaf, np.ndarray)) for leaf, value in zip(leaves, values, strict=True))
    return jax.tree.map(lambda leaf: next(new) if _is_array(leaf) else leaf, like)


def _found(given: AbstractLearner, arrays: Arrays) -> PyTree:
    """The meta-parameters, in the structure that they have in the learner."""
    start, trials = split(given)[0], len(arrays["keys"])
    leaves = jax.tree.leaves(start)
    values = [arrays[f"found{k}"] for k in range(len(leaves))]
    if [value.shape for value in values] != [
        (trials, *leaf.shape) for leaf in leaves
    ] or f"found{len(leaves)}" in arrays:
        raise ValueError("its arrays are not those of its learner")
    return jax.tree.unflatten(jax.tree.structure(start), [_value(value, False) for value in values])


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray)


def _arrays_in(tree: PyTree) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(tree) if _is_array(leaf)]


def _value(array: Any, is_numpy: bool) -> Any:
    return array if is_numpy or isinstance(array, jax.Array) else as_jax(array)


def _plain(arrays: Mapping[str, Any]) -> tuple[Arrays, dict[str, str]]:
    """Arrays of types that every program can read, and what the others were."""
    found, kinds = {}, {}
    for name, array in arrays.items():
        if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            kinds[name] = f"key {jax.random.key_impl(array)}"
            array = jax.random.key_data(array)
        found[name] = np.asarray(array)
        if found[name].dtype.kind == "V":  # a type of JAX that NumPy does not know, such as bfloat16
            kinds[name] = found[name].dtype.name
            found[name] = found[name].view(f"u{found[name].dtype.itemsize}")
    return found, kinds


def _restored(arrays: Arrays, kinds: Mapping[str, str]) -> dict[str, Any]:
    """The inverse of ``_plain``."""
    found: dict[str, Any] = dict(arrays)
    for name, kind in kinds.items():
        if kind.startswith("key "):
            found[name] = jax.random.wrap_key_data(jnp.asarray(arrays[name]), impl=kind.removeprefix("key "))
        else:
            found[name] = arrays[name].view(jnp.dtype(kind))
    return found


def _read_arrays(folder: Path, entry: Mapping[str, Any]) -> Arrays:
    """The arrays, after a look at their checksum.

    Raises:
        RunFolderError: they cannot be read, or are damaged.
    """
    if Path(entry["arrays"]).name != entry["arrays"]:
        raise ValueError("its arrays are in another folder")
    path = folder / entry["arrays"]
    with opened_to_read(path) as stream:
        content = stream.read()
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise RunFolderError(f"{path} is damaged: it does not fit its checksum in {NAME}")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return dict(file)
    except (zipfile.BadZipFile, EOFError) as error:
        raise RunFolderError(f"{path} is damaged: {error}") from error
