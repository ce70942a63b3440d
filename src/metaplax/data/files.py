"""Published files are looked for in the user's folder and in the cache, and else downloaded from the web."""

import hashlib
import os
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from metaplax._files import write_whole
from metaplax.data.archives import read_member
from metaplax.data.reading import DataError, PathLike, accessing, is_file, md5_of

VARIABLE = "METAPLAX_DATA"


@dataclass(frozen=True)
class PublishedFile:
    """One file as its authors published it.

    Attributes:
        name: file name.
        url: where it can be downloaded.
        md5: checksum of the published file; may be empty where it is only published inside ``archive``.
        archive: the published archive that holds this file, if it is not published on its own.
        member: path of the file inside the archive.
        paths: where it may be in a folder, relative to that folder, besides directly in it.
    """

    name: str
    url: str = ""
    md5: str = ""
    archive: "PublishedFile | None" = None
    member: str = ""
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundFile:
    """A file on disk and whether it is byte for byte the published one."""

    path: Path
    is_published: bool


def cache_folder(dataset: str) -> Path:
    """Folder for downloads of a data set, inside the user's cache."""
    import pooch

    return Path(pooch.os_cache("metaplax")) / dataset


def search_folders(dataset: str, data_dir: PathLike | None) -> list[Path]:
    """Folders to look in, best first: the user's (``data_dir``, else ``METAPLAX_DATA``), then the cache."""
    given = data_dir or os.environ.get(VARIABLE)
    if not given:
        return [cache_folder(dataset)]
    folder = Path(os.path.expanduser(given))
    if not os.path.isdir(folder):
        raise DataError(f"the data folder {folder} does not exist or is not a folder")
    return [folder / dataset, folder, cache_folder(dataset)]


def root_folders(dataset: str, data_dir: PathLike | None) -> list[Path]:
    """Those of these folders that the user chose, and out of which nothing may lead."""
    return search_folders(dataset, data_dir)[-2:]


def locate(dataset: str, file: PublishedFile, data_dir: PathLike | None) -> FoundFile | None:
    """Find a file that is already on disk, and compare its checksum with the published one.

    A file in the user's folder may differ; one in the cache that differs is damaged and not taken.
    """
    for folder, relative in product(search_folders(dataset, data_dir), (file.name, *file.paths)):
        path = folder / relative
        if not is_file(path, root_folders(dataset, data_dir)):
            continue
        is_cached = folder == cache_folder(dataset)
        # What is unpacked into the cache comes from an archive whose checksum was right.
        is_published = md5_of(path) == file.md5 if file.md5 else is_cached
        if is_published or not is_cached:
            return FoundFile(path, is_published)
    return None


def fetch(dataset: str, file: PublishedFile, data_dir: PathLike | None, *, progress: bool = False) -> FoundFile:
    """Find a file on disk, or download it into the cache and verify it.

    Files placed by hand may differ from the published ones: that is a warning which names the file.

    Raises:
        DataError: the file is neither on disk nor to be had from the web, or the download is damaged.
    """
    found = locate(dataset, file, data_dir)
    if found is None:
        return _download(dataset, file, data_dir, progress)
    if not found.is_published:
        checksum = f"is not the published file: its MD5 checksum is not {file.md5}"
        unknown = "was placed by hand and there is no published checksum for it"
        warnings.warn(f"{found.path} {checksum if file.md5 else unknown}", stacklevel=2)
    return found


def _download(dataset: str, file: PublishedFile, data_dir: PathLike | None, progress: bool) -> FoundFile:
    import pooch

    folder = cache_folder(dataset)
    if file.archive is not None:
        archive = fetch(dataset, file.archive, data_dir, progress=progress)
        # Only what is known to be the published data may be found in the cache later.
        return _extract(archive, file, folder if archive.is_published else folder / "unverified")
    # Pooch draws its bar with tqdm, and refuses to download where that is not installed.
    bar = progress and find_spec("tqdm") is not None
    try:
        path = pooch.retrieve(file.url, f"md5:{file.md5}", fname=file.name, path=folder, progressbar=bar)
    except OSError as error:  # the base of all errors of requests
        raise DataError(
            f"{file.name} could not be downloaded from {file.url} ({type(error).__name__}): put it into a folder and"
            f" name that with --data-dir or {VARIABLE}"
        ) from error
    except ValueError as error:
        raise DataError(f"the download of {file.name} is damaged: its checksum is not the published one") from error
    return FoundFile(Path(path), is_published=True)


def _extract(archive: FoundFile, file: PublishedFile, folder: Path) -> FoundFile:
    content = read_member(archive.path, file.member)
    target = folder / file.name
    with accessing(target, "written"):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(target, content)
    return FoundFile(target, archive.is_published or hashlib.md5(content).hexdigest() == file.md5)
