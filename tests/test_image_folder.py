"""Folders of images of one's own: real files; what does not fit is refused in one sentence."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import metaplax as mp
from metaplax.data import DataError, from_folder

KEY = jax.random.key(0)


def picture(path: Path, size=(8, 6), mode="L", seed=0, **options) -> np.ndarray:
    """Write a real image file of random pixels; ``size`` is width and height."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *channels), np.uint8)
    write(path, Image.fromarray(pixels), **options)
    return pixels


def write(path: Path, image: Image.Image, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "PNG" if path.suffix.lower() == ".png" else "JPEG", **options)


def png_header(path: Path, width: int, height: int) -> None:
    """A PNG file of almost no bytes that claims to hold many pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    end = b"\0\0\0\0IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + end)


@pytest.fixture
def animals(tmp_path) -> Path:
    """Three classes of six images each, and files that do not count."""
    folder = tmp_path / "animals"
    for k, kind in enumerate(("newt", "Cat", "dog")):
        for n in range(6):
            picture(folder / kind / f"{n}.png", seed=10 * k + n)
    for name in (".DS_Store", "cat/.hidden.png", "__MACOSX/dog/._0.png", "Thumbs.db", "dog/Thumbs.db", "README.txt"):
        (folder / name.replace("cat", "Cat")).parent.mkdir(parents=True, exist_ok=True)
        (folder / name.replace("cat", "Cat")).write_bytes(b"no image")
    return folder


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_of_images(animals, kind):
    data = from_folder(kind(animals))
    assert (data.name, data.class_names) == ("animals", ("Cat", "dog", "newt"))
    assert (data.images.shape, data.images.dtype) == ((18, 6, 8), np.uint8)
    np.testing.assert_array_equal(data.labels, np.repeat(np.arange(3), 6))
    np.testing.assert_array_equal(data.images[6], np.random.default_rng(20).integers(0, 256, (6, 8), np.uint8))


def test_a_folder_named_relative_to_another_or_to_the_home(animals, monkeypatch):
    monkeypatch.chdir(animals)
    assert from_folder(".").name == "animals"
    monkeypatch.setenv("HOME", str(animals.parent))
    assert from_folder("~/animals").name == "animals"


TASKS: dict[str, Callable] = {
    "OnlineClassification": lambda data: mp.tasks.OnlineClassification(data, 2, 3, 2).sample(KEY).support.x,
    "FewShot": lambda data: mp.tasks.FewShot(data, 2, 3, 2).sample(KEY).support.x,
    "ContinualImages": lambda data: mp.tasks.ContinualImages(data, 2, 3, 2).sample(KEY).support.x,
    "HoldOut": lambda data: mp.tasks.HoldOut(*data.divided(6), (6, 6)).sample(KEY).support.x,
    "ImageStream": lambda data: mp.tasks.ImageStream(*data.divided(6), 4).query(KEY).x,
}


@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
@pytest.mark.parametrize("task", TASKS)
def test_every_task_of_images_takes_it(animals, task, colour):
    data = from_folder(animals, side=5, colour=colour)
    assert data.images.shape == (18, 5, 5, 3) if colour else (18, 5, 5)
    assert 0.5 < TASKS[task](data).max() <= 1


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.jpg", "a.JPG", "a.jpeg", "a.JpEg"])
def test_any_capitalisation_of_the_suffix(tmp_path, name):
    pixels = picture(tmp_path / "one" / name, quality=100)
    found = from_folder(tmp_path).images[0].astype(int)
    assert np.abs(found - pixels).max() <= (0 if name.lower().endswith("png") else 3)


def test_colours(tmp_path):
    pixels = picture(tmp_path / "one" / "a.png", mode="RGB")
    np.testing.assert_array_equal(from_folder(tmp_path, colour=True).images[0], pixels)
    weighted = pixels @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(from_folder(tmp_path).images[0], weighted, atol=1)


@pytest.mark.parametrize(("shape", "axis"), [((9, 27), 1), ((27, 9), 0), ((9, 9), None)])
@pytest.mark.parametrize("side", [1, 3, 9, 20])
def test_other_sizes_are_resized_and_cropped_about_the_centre(tmp_path, shape, axis, side):
    # All is dark but a square in the centre.
    pixels = np.full(shape, 200, np.uint8)
    if axis is not None:
        np.moveaxis(pixels, axis, 0)[:9] = np.moveaxis(pixels, axis, 0)[18:] = 0
    write(tmp_path / "one" / "a.png", Image.fromarray(pixels))
    picture(tmp_path / "one" / "b.png", (5, 31))
    images = from_folder(tmp_path, side=side).images
    assert images.shape == (2, side, side)
    assert images[0].mean() > 145
    assert images[0, side // 2, side // 2] == 200 or side == 1
    np.testing.assert_allclose(images[0], images[0, ::-1, ::-1], atol=1)


def test_unusual_pixels_are_read_as_they_look(tmp_path):
    ramp = np.arange(48, dtype=np.uint16).reshape(6, 8)
    black = np.zeros((6, 8, 4), np.uint8)
    black[:3, :, 3] = 255
    palette = Image.fromarray(ramp.astype(np.uint8) * 5).convert("P")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    turned = np.zeros((8, 6), np.uint8)
    turned[:4] = 240
    expected = {
        "16 bits": (Image.fromarray(ramp * 1000), ramp * 1000 // 256, {}),
        "bilevel": (Image.fromarray(ramp > 20), np.where(ramp > 20, 255, 0), {}),
        "palette": (palette, ramp * 5, {}),
        "transparent": (Image.fromarray(black), np.where(black[..., 3], 0, 255), {}),
        "transparent palette": (palette, np.where(ramp, ramp * 5, 255), {"transparency": 0}),
        "turned": (Image.fromarray(turned), np.rot90(turned, -1), {"exif": exif}),
    }
    for name, (image, seen, options) in expected.items():
        write(tmp_path / name / "one" / "a.png", image, **options)
        np.testing.assert_array_equal(from_folder(tmp_path / name).images[0], seen, err_msg=name)
    write(tmp_path / "print" / "one" / "a.jpg", Image.new("CMYK", (8, 6), (0, 0, 0, 0)))
    assert from_folder(tmp_path / "print").images.min() > 250


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "stray": (lambda f: picture(f / "x.JPG"), r"animals/x.JPG is in no class: move every image into a folder"),
    "empty": (lambda f: (f / "eel").mkdir(), "the folder .*animals/eel holds no images: fill it or remove it"),
    "only hidden": (lambda f: picture(f / "eel" / ".a.png"), "animals/eel holds no images"),
    "nested": (lambda f: picture(f / "dog" / "small" / "a.png"), "animals/dog/small is no PNG or JPEG file, which"),
    "another format": (lambda f: (f / "dog" / "a.gif").write_bytes(b"GIF89a"), "animals/dog/a.gif is no PNG or JPEG"),
    "no image": (lambda f: (f / "dog" / "a.png").write_text("words"), "dog/a.png cannot be read as a PNG or JPEG"),
    "no bytes": (lambda f: (f / "dog" / "a.png").touch(), "dog/a.png cannot be read as a PNG or JPEG image"),
    "no pixels": (lambda f: png_header(f / "dog" / "a.png", 8, 6), "dog/a.png cannot be read as a PNG or JPEG image"),
    "disguised": (
        lambda f: Image.new("L", (8, 6)).save(f / "dog" / "a.png", "GIF"),
        "dog/a.png cannot be read as a PNG or JPEG image",
    ),
    "broken link": (lambda f: (f / "dog" / "a.png").symlink_to("nowhere"), "dog/a.png is a link to nothing"),
    "another size": (
        lambda f: picture(f / "dog" / "a.png", (8, 7)),
        r"dog/a.png has height and width \(7, 8\), but .*animals/Cat/0.png \(6, 8\): give a side",
    ),
    "large": (lambda f: png_header(f / "dog" / "a.png", 8192, 8193), "dog/a.png has more than 67,108,864 pixels"),
    "larger": (lambda f: png_header(f / "dog" / "a.png", 10000, 10000), "dog/a.png has more than 67,108,864 pixels"),
    "huge": (lambda f: png_header(f / "dog" / "a.png", 100000, 100000), "dog/a.png has more than 67,108,864 pixels"),
}


@pytest.mark.parametrize("side", [None, 4])
@pytest.mark.parametrize("kind", SPOILT)
def test_folders_that_do_not_fit_are_refused(animals, kind, side):
    spoil, sentence = SPOILT[kind]
    spoil(animals)
    if kind == "another size" and side:
        assert from_folder(animals, side=side).images.shape == (19, 4, 4)
        return
    with pytest.raises(DataError, match=sentence) as caught:
        from_folder(animals, side=side)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere", "the folder .*nowhere cannot be read: No such file or directory"),
        ("animals/README.txt", "the folder .*README.txt cannot be read: Not a directory"),
        ("animals/dog", "animals/dog/0.png is in no class"),
        ("animals/__MACOSX", r"animals/__MACOSX/dog holds no images"),
        ("nothing", "nothing holds no folders: put the images into one folder per class"),
    ],
)
def test_what_is_no_folder_of_classes_is_refused(animals, name, sentence):
    (animals.parent / "nothing").mkdir()
    with pytest.raises(DataError, match=sentence):
        from_folder(animals.parent / name)


def test_a_side_below_one_is_refused(animals):
    with pytest.raises(ValueError, match="side must be at least 1, not 0"):
        from_folder(animals, side=0)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_damaged_images_are_read_or_refused_with_their_names(tmp_path, name):
    file, random = tmp_path / "one" / name, np.random.default_rng(0)
    picture(file, (16, 16), "RGB")
    content, refused = file.read_bytes(), 0

    def is_read() -> bool:
        try:
            return len(from_folder(tmp_path, side=8).images) == 1
        except DataError as error:
            return f"one/{name} " not in str(error)

    for trial in range(150):
        damaged = bytearray(content)
        for place in random.integers(0, len(content), 1 + trial % 5):
            damaged[place] = random.integers(0, 256)
        file.write_bytes(damaged[: len(content) - (trial % 3) * int(random.integers(0, len(content)))])
        refused += not is_read()
    assert refused > 50
