"""Glyphs: characters rendered from the fonts that matplotlib ships, deformed as if written by hand.

Needs no download. Every image is a function of the seed alone: the character in a random font, then
slant, rotation, scale, shift, stroke width, elastic bending, blur and noise.
"""

from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from metaplax.data.checks import check_sizes
from metaplax.data.images import ImageSet
from metaplax.data.reading import DataError

Mesh = list[tuple[tuple[int, ...], tuple[float, ...]]]

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"
FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Oblique",
    "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralItalic", "cmr10", "cmtt10",
    "cmss10",
)  # fmt: skip
SIZE = 28
CANVAS = 64


def glyphs(per_class: int = 200, seed: int = 0) -> ImageSet:
    """47 classes of digits and letters (those of EMNIST balanced), 28 x 28 pixels; rendered once per process.

    Args:
        per_class: number of images of every class.
        seed: another seed gives other images of the same distribution.

    Raises:
        ValueError: ``per_class`` is below one, or ``seed`` negative.
        DataError: a font is missing.
    """
    check_sizes(per_class=per_class)
    check_sizes(at_least=0, seed=seed)
    return _rendered(per_class, seed)


@cache
def _rendered(per_class: int, seed: int) -> ImageSet:
    generator = np.random.Generator(np.random.Philox(seed))
    images = [_draw(character, generator) for character in CHARACTERS for _ in range(per_class)]
    labels = np.repeat(np.arange(len(CHARACTERS), dtype=np.int32), per_class)
    return ImageSet("glyphs", np.stack(images), labels, tuple(CHARACTERS))


def _draw(character: str, generator: np.random.Generator) -> np.ndarray:
    from PIL import Image, ImageDraw, ImageFilter

    bilinear = Image.Resampling.BILINEAR
    font = _font(FONTS[generator.integers(len(FONTS))])
    image = Image.new("L", (CANVAS, CANVAS))
    middle = (CANVAS / 2, CANVAS / 2)
    stroke = int(generator.integers(1, 4))
    ImageDraw.Draw(image).text(middle, character, fill=255, font=font, anchor="mm", stroke_width=stroke)
    image = image.transform((CANVAS, CANVAS), Image.Transform.AFFINE, _affine(generator), bilinear)
    image = image.transform((CANVAS, CANVAS), Image.Transform.MESH, _bent_mesh(generator), bilinear)
    image = image.filter(ImageFilter.GaussianBlur(generator.uniform(0.3, 1.2)))
    small = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX), np.float64)
    noisy = small * generator.uniform(0.7, 1.0) + generator.normal(0.0, 12.0, small.shape) * (small > 8)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _affine(generator: np.random.Generator) -> tuple[float, ...]:
    """Coefficients of a random map from output to input pixels about the middle of the canvas."""
    angle, slant = generator.normal(0.0, 0.09), generator.normal(0.0, 0.14)
    scale = np.exp(generator.normal(0.0, 0.09, 2))
    shift = generator.normal(0.0, 2.0, 2)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation @ np.array([[1.0, slant], [0.0, 1.0]]) @ np.diag(scale)
    offset = CANVAS / 2 - matrix @ np.full(2, CANVAS / 2) + shift
    return (*matrix[0], offset[0], *matrix[1], offset[1])


def _bent_mesh(generator: np.random.Generator) -> Mesh:
    """Cells of a 3 x 3 mesh whose inner corners are moved by a few pixels each (a coarse elastic deformation)."""
    cells = 3
    grid = np.linspace(0, CANVAS, cells + 1)
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1)
    points[1:-1, 1:-1] += generator.normal(0.0, 1.6, (cells - 1, cells - 1, 2))
    mesh = []
    for i, j in product(range(cells), repeat=2):
        box = (int(grid[j]), int(grid[i]), int(grid[j + 1]), int(grid[i + 1]))
        corners = [points[i, j], points[i + 1, j], points[i + 1, j + 1], points[i, j + 1]]
        mesh.append((box, tuple(float(c) for y, x in corners for c in (x, y))))
    return mesh


@cache
def _font(name: str) -> Any:
    import matplotlib
    from PIL import ImageFont

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    try:
        return ImageFont.truetype(str(path), 52, layout_engine=ImageFont.Layout.BASIC)
    except (OSError, ImportError) as error:
        raise DataError(f"glyphs need the font {path} that matplotlib ships, and it cannot be read: {error}") from error
