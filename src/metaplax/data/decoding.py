"""PNG and JPEG images as arrays. No other format is decoded: for some of them Pillow starts other programs."""

import io
import warnings
from typing import Any, Literal

import numpy as np

from metaplax.data.reading import DataError

FORMATS = ("PNG", "JPEG")
LARGEST_IMAGE = 2**26
"""Pixels of an image that is decoded, so that a small hostile file cannot fill the memory."""
LONGEST_SIDE = 2**16
"""Of such an image, since every row takes memory of its own."""


def decoded(
    content: bytes,
    name: object,
    mode: Literal["L", "RGB"],
    side: int | None = None,
    *,
    resampling: Literal["BILINEAR", "BOX"] = "BILINEAR",
    crop: bool = False,
) -> np.ndarray:
    """Bytes of an image: in shades of grey (``"L"``) of shape ``(height, width)``, or ``(height, width, 3)``.

    Photographs are turned upright as their cameras say, and what is transparent is white.

    Args:
        content: of the file.
        name: of the file, for messages.
        mode: grey or colour.
        side: height and width to resize to; by default the image keeps its own.
        resampling: filter of Pillow.
        crop: whether the longer sides are cropped about their centres, so that proportions are kept.

    Raises:
        DataError: the content is no PNG or JPEG image, or damaged, or has more than 2^26 pixels or 2^16 along a side.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > LARGEST_IMAGE or max(image.size) > LONGEST_SIDE:
                raise Image.DecompressionBombError
            ImageOps.exif_transpose(image, in_place=True)
            shown = _plain(image, mode)
            if side is not None:
                resize = ImageOps.fit if crop else Image.Image.resize
                shown = resize(shown, (side, side), Image.Resampling[resampling])
            return np.asarray(shown)
    except Image.DecompressionBombError as error:
        too_large = f"has more than {LARGEST_IMAGE:,} pixels, or {LONGEST_SIDE:,} along a side"
        raise DataError(f"{name} {too_large}: make it smaller") from error
    except Exception as error:  # of damaged files Pillow raises almost any
        raise DataError(f"{name} cannot be read as a PNG or JPEG image") from error


def _plain(image: Any, mode: str) -> Any:
    """An image of Pillow in another mode: 16 bits become 8, which Pillow would clip, and transparency white."""
    from PIL import Image

    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        shown = Image.new(mode, image.size, "white")
        shown.paste(image.convert(mode), mask=image.convert("RGBA").getchannel("A"))
        return shown
    return image.convert(mode)
