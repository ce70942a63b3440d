"""Images of one's own: one folder per class."""

import os
import stat
from pathlib import Path

import numpy as np

from metaplax.data.checks import check_sizes
from metaplax.data.decoding import decoded
from metaplax.data.images import ImageSet
from metaplax.data.reading import DataError, PathLike, accessing, check_inside, is_file, mode, parsing, read_file

SUFFIXES = (".png", ".jpg", ".jpeg")
LARGEST_SET = 2**32  # bytes


def from_folder(path: PathLike, *, side: int | None = None, colour: bool = False) -> ImageSet:
    """PNG or JPEG images of one's own, in one folder per class; hidden files and those of file managers are ignored.

    The folders are the ``class_names``, in sorted order, and the set is called what ``path`` is called. Photographs are
    turned upright as their cameras say, and what is transparent is white.

    Args:
        path: the folder that holds the folders of the classes.
        side: width and height in pixels that images are resized to, the longer sides cropped about their centres; by
            default they stay as they are, and must have one size.
        colour: whether to read colours, and not shades of grey.

    Raises:
        DataError: a folder lacks images or holds something else; an image is in no class, unreadable, of more than 2^26
            pixels, or of another size than the first; a link leads out of the folder; all images together are larger
            than 4 GiB; or no pixel of any image is above 1 of 255.
        ValueError: ``side`` is below one.
    """
    if side is not None:
        check_sizes(side=side)
    folder = Path(os.path.expanduser(path))
    files, images = _files(folder), []
    for file in files:
        images.append(decoded(read_file(file), file, "RGB" if colour else "L", side, crop=True))
        size, first = images[-1].shape[:2], images[0].shape[:2]
        if size != first:
            raise DataError(f"{file} has height and width {size}, but {files[0]} {first}: give a side to resize all to")
        if len(files) * images[0].nbytes > LARGEST_SET:
            raise DataError(f"{len(files):,} images of height and width {first} are too large: give a smaller side")
    with parsing(folder, "cannot be used"):
        return ImageSet.from_names(folder.resolve().name, np.stack(images), [file.parent.name for file in files])


def _files(folder: Path) -> list[Path]:
    """The images, class by class."""
    files = []
    for kind in _entries(folder):
        if stat.S_ISDIR(mode(kind)):
            check_inside(kind, [folder])
            found = _entries(kind)
            for file in found:
                if file.suffix.lower() not in SUFFIXES or not is_file(file, [folder]):
                    raise DataError(f"{file} is no PNG or JPEG file, which is all that the folder of a class may hold")
            if not found:
                raise DataError(f"the folder {kind} holds no images: fill it or remove it")
            files += found
        elif kind.suffix.lower() in SUFFIXES:
            raise DataError(f"{kind} is in no class: move every image into a folder that is named after its class")
    if not files:
        raise DataError(f"{folder} holds no folders: put the images into one folder per class")
    return files


def _entries(folder: Path) -> list[Path]:
    with accessing(f"the folder {folder}"):
        found = sorted(folder.iterdir())
    return [path for path in found if path.name[0] != "." and path.name.lower() not in ("__macosx", "thumbs.db")]
