"""Keeps compiled programs on disk, so that the second run of an experiment starts at once."""

import os
import stat
import warnings
from pathlib import Path

import jax

VARIABLE = "METAPLAX_COMPILATION_CACHE"
"""Environment variable that names another folder for compiled programs, or says ``off``."""
LEAST_SECONDS = 1.0


class UnsafeFolderError(RuntimeError):
    """Other users could put programs into the folder; the message is one sentence."""


def use_compilation_cache(folder: Path | str | None = None) -> Path | None:
    """Keep compiled programs in a folder that nobody else can write to.

    Programs from the cache are run without a further check, so a folder that other users could write to is not used,
    and neither is one that cannot be made; a warning says so.

    Args:
        folder: by default ``METAPLAX_COMPILATION_CACHE``, else a folder in the user's cache.

    Returns:
        the folder, or ``None`` if compiled programs are not kept.
    """
    asked = os.environ.get(VARIABLE, "")
    if folder is None and asked == "off":
        return None
    import pooch  # slow to import

    folder = Path(folder or asked or pooch.os_cache("metaplax") / "compiled")
    try:
        make_private(folder)
    except (UnsafeFolderError, OSError) as error:
        warnings.warn(f"compiled programs are not kept: {error}", stacklevel=2)
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
    return folder


def make_private(folder: Path) -> None:
    """Make a folder that only its owner can use, unless it exists already.

    Raises:
        UnsafeFolderError: it exists, but it is a link, or somebody else owns it or can write to it.
        OSError: it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise UnsafeFolderError(f"{folder} is not a folder of its own but a link")
    if hasattr(os, "getuid") and found.st_uid != os.getuid():
        raise UnsafeFolderError(f"{folder} belongs to somebody else")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnsafeFolderError(f"others can write to {folder}")
