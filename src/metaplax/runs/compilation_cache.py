"""Keeps compiled programs on disk, so that the second run of an experiment starts at once."""

import os
import stat
import warnings
from pathlib import Path

import jax

VARIABLE = "METAPLAX_COMPILATION_CACHE"
"""Environment variable that names another folder for compiled programs, or says ``off``."""
OFF = ("off", "0", "no", "none", "false")
JAX_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
LEAST_SECONDS = 1.0
_is_decided = False
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
OTHERS_SEARCH = stat.S_IXGRP | stat.S_IXOTH


class UnsafeFolderError(RuntimeError):
    """Other users could put programs into the folder; the message is one sentence."""


def use_compilation_cache(folder: Path | str | None = None) -> Path | None:
    """Keep compiled programs in a folder that nobody else can write to.

    Programs from the cache are run without a further check, so a folder that other users could write to is not used,
    and neither is one that cannot be made; a warning says so.

    Args:
        folder: by default ``METAPLAX_COMPILATION_CACHE``; else ``JAX_COMPILATION_CACHE_DIR``, which is left to JAX,
            unchecked; else a folder in the user's cache. With ``METAPLAX_COMPILATION_CACHE=off`` nothing is kept,
            whatever the variable of JAX says.

    Returns:
        the folder, or ``None`` if compiled programs are not kept.
    """
    asked = os.environ.get(VARIABLE, "").strip()
    if folder is None and asked.lower() in OFF:
        return _keep(None)
    of_jax = os.environ.get(JAX_VARIABLE)
    if folder is None and not asked and of_jax:
        return Path(of_jax)
    import pooch  # slow to import

    folder = Path(folder or asked or pooch.os_cache("metaplax") / "compiled")
    try:
        folder = folder.expanduser().absolute()
        make_private(folder)
    except (UnsafeFolderError, OSError, RuntimeError) as error:
        warnings.warn(f"compiled programs are not kept: {error}", stacklevel=2)
        return _keep(None)
    return _keep(folder)


def keep_programs() -> None:
    """Keep compiled programs from now on, as ``use_compilation_cache`` says, unless that was decided before."""
    if not _is_decided and jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]
        use_compilation_cache()


def _keep(folder: Path | None) -> Path | None:
    """Tell JAX where to keep compiled programs, or to keep none."""
    global _is_decided
    _is_decided = True
    jax.config.update("jax_compilation_cache_dir", folder and str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
    return folder


def make_private(folder: Path) -> None:
    """Make a folder that only its owner can use, unless it exists already.

    Raises:
        UnsafeFolderError: it exists, but it is a link, or somebody else owns it, something in it or a folder that it is
            in, or can write to one of these.
        OSError: it cannot be made.
    """
    for path in (*reversed(folder.parents), folder):
        if not path.exists():
            path.mkdir(mode=0o700)
    if folder.is_symlink():
        raise UnsafeFolderError(f"{folder} is not a folder of its own but a link")
    _refuse_others(folder)
    for parent in {*folder.parents, *folder.resolve().parents}:
        found = parent.stat()
        # With the sticky bit, as in /tmp, nobody can replace what belongs to somebody else.
        if found.st_mode & OTHERS_WRITE and not found.st_mode & stat.S_ISVTX:
            raise UnsafeFolderError(f"others can write to {parent}, in which {folder} is: chmod go-w {parent}")
        _refuse_owner(parent, found, 0)
    # Nobody else reaches what is in a folder that only its owner may search.
    is_open = folder.stat().st_mode & OTHERS_SEARCH
    for path in folder.iterdir():
        _refuse_others(path, OTHERS_WRITE if is_open else 0)


def _refuse_others(path: Path, rights: int = OTHERS_WRITE) -> None:
    found = path.lstat()
    _refuse_owner(path, found)
    if found.st_mode & rights and not stat.S_ISLNK(found.st_mode):
        raise UnsafeFolderError(f"others can write to {path}: chmod go-w {path}")


def _refuse_owner(path: Path, found: os.stat_result, *trusted: int) -> None:
    if hasattr(os, "getuid") and found.st_uid not in (os.getuid(), *trusted):
        raise UnsafeFolderError(f"{path} belongs to somebody else")
