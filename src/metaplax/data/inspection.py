"""Which files of a data set are on disk, and whether they can be read."""

import warnings
from collections.abc import Sequence
from typing import Any

from metaplax.data.catalog import lookup
from metaplax.data.files import FoundFile, PublishedFile, fetch, locate
from metaplax.data.reading import DataError, PathLike


def fetch_all(name: str, data_dir: PathLike | None = None, *, progress: bool = False) -> None:
    """Download those files of a data set that are not on disk.

    Raises:
        DataError: there is no such data set, or a file cannot be had.
    """
    dataset = lookup(name)
    for file in dataset.files:
        fetch(dataset.folder or name, file, data_dir, progress=progress)


def inspect(names: Sequence[str], data_dir: PathLike | None = None, *, parse: bool = False) -> list[dict[str, Any]]:
    """State of data sets on disk.

    Args:
        names: names of the data sets.
        data_dir: folder to look in before the cache.
        parse: also read all images; then missing files are a problem too.

    Returns:
        for each data set a dictionary of its ``name`` and ``summary``, the folder ``where`` it is, its ``state``, and
        what is wrong as ``problem``, or ``None``.
    """
    return [_inspect(name, data_dir, parse) for name in names]


def _inspect(name: str, data_dir: PathLike | None, parse: bool) -> dict[str, Any]:
    dataset = lookup(name)
    state = {"name": name, "summary": dataset.summary, "where": "built in", "state": "ready", "problem": None}
    try:
        found = _on_disk(dataset.folder or name, dataset.files, data_dir)
        present = [file for file in found if file is not None]
        if dataset.files and not present and not parse:
            return state | {"where": "–", "state": f"not here: metaplax data fetch {name}"}
        if present:
            state["where"] = str(present[0].path.parent)
        missing = [file.name for file, at in zip(dataset.files, found, strict=True) if at is None]
        if missing:
            return state | {"problem": f"{', '.join(missing)} missing"}
        dataset.require(data_dir)
        if not all(file.is_published for file in present):
            state["state"] = "placed by hand, not verified against the published files"
        if parse:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                parts = [{"split": split} for split in dataset.splits] or [{}]
                images = [dataset.load(data_dir=data_dir, **part) for part in parts]
            counts = " + ".join(f"{len(part.images):,}" for part in images)
            state["state"] += f"; {counts} images of {len(images[0].class_names)} classes read"
    except DataError as error:
        return state | {"problem": str(error)}
    return state


def _on_disk(name: str, files: Sequence[PublishedFile], data_dir: PathLike | None) -> list[FoundFile | None]:
    """Each file as found on disk, or else the archive that holds it."""
    found = [locate(name, file, data_dir) for file in files]
    packed = {file.archive for file, at in zip(files, found, strict=True) if at is None and file.archive}
    archives = {archive: locate(name, archive, data_dir) for archive in packed}
    return [at or (archives[file.archive] if file.archive else None) for file, at in zip(files, found, strict=True)]
