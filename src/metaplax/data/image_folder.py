"""Images of one's own: one folder per class."""

from pathlib import Path

import numpy as np

from metaplax.data.checks import check_sizes
from metaplax.data.images import ImageSet
from metaplax.data.reading import DataError, PathLike

SUFFIXES = (".png", ".jpg", ".jpeg")
LARGEST = 2**26  # pixels of an image that is decoded, so that a small hostile file cannot fill the memory


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
            pixels, or of another size than the first.
        ValueError: ``side`` is below one, or no pixel of any image is above 1 of 255.
    """
    if side is not None:
        check_sizes(side=side)
    folder = Path(path).expanduser()
    files, images = _files(folder), []
    for file in files:
        images.append(_pixels(file, side, "RGB" if colour else "L"))
        size, first = images[-1].shape[:2], images[0].shape[:2]
        if size != first:
            raise DataError(f"{file} has height and width {size}, but {files[0]} {first}: give a side to resize all to")
    return ImageSet.from_names(folder.resolve().name, np.stack(images), [file.parent.name for file in files])


def _files(folder: Path) -> list[Path]:
    """The images, class by class."""
    files = []
    for kind in _entries(folder):
        if kind.is_dir():
            found = _entries(kind)
            for file in found:
                if file.suffix.lower() not in SUFFIXES or not file.is_file():
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
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error.strerror or error}") from error
    return [path for path in found if path.name[0] != "." and path.name.lower() not in ("__macosx", "thumbs.db")]


def _pixels(file: Path, side: int | None, mode: str) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        with Image.open(file, formats=("PNG", "JPEG")) as opened:
            if opened.width * opened.height > LARGEST:
                raise Image.DecompressionBombError
            image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I"):  # 16 bits, of which Pillow would clip the upper ones
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        if image.has_transparency_data:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        image = image.convert(mode)
        return np.asarray(image if side is None else ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{file} has more than {LARGEST:,} pixels: make it smaller") from error
    except Exception as error:  # of damaged files Pillow raises almost any
        raise DataError(f"{file} cannot be read as a PNG or JPEG image") from error
