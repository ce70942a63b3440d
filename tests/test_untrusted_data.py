"""Data files from strangers: nothing but what they say they are is opened, decoded or unpacked, and in bounds."""

import gzip
import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import metaplax as mp
from metaplax.data import DataError, archives, from_folder, image_folder, reading
from metaplax.data.archives import read_member
from metaplax.data.handwriting import read_idx

pytestmark = [
    pytest.mark.usefixtures("offline"),
    pytest.mark.filterwarnings("ignore:.*(is not the published file|placed by hand):UserWarning"),
]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"


def encoded(kind: str = "PNG", side: int = 6) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (side, side), np.uint8)
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


PNG, JPEG = encoded("PNG"), encoded("JPEG")
BAD_CHUNK = PNG[:8] + (5).to_bytes(4, "big") + PNG[12:]


def claiming(width: int, height: int) -> bytes:
    """A small PNG file that claims to be larger."""
    header = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + PNG[24:29]
    return PNG[:12] + header + zlib.crc32(header).to_bytes(4, "big") + PNG[33:]


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def zipped(members: dict[str, bytes], **options) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content, **options)
    return stream.getvalue()


def listed(rows: str, images: tuple[str, ...] = ("1.jpg",), content: bytes = JPEG) -> dict[str, bytes]:
    """A list of mini-ImageNet and its images."""
    return {"val.csv": rows.encode()} | {f"miniimagenet/images/{name}": content for name in images}


def idx(*shape: int, axes: int | None = None, rest: bytes = b"") -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in shape)
    return bytes([0, 0, 8, len(shape) if axes is None else axes]) + sizes + rest


def omniglot(folder: Path) -> mp.data.ImageSet:
    return mp.data.omniglot("evaluation", data_dir=folder, size=6)


def miniimagenet(folder: Path) -> mp.data.ImageSet:
    return mp.data.miniimagenet("val", data_dir=folder, size=6)


READERS: dict[str, tuple[Callable[[bytes], dict[str, bytes]], Callable, str]] = {
    "omniglot": (
        lambda content: {"images_evaluation.zip": zipped({"a/b/1.png": content})},
        omniglot,
        "'a/b/1.png' in ",
    ),
    "miniimagenet": (lambda content: listed("filename,label\n1.jpg,n1\n", content=content), miniimagenet, r"1\.jpg "),
    "from_folder": (lambda content: {"cat/1.jpg": content}, from_folder, r"cat/1\.jpg "),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (EPS, "cannot be read as a PNG or JPEG image"),
        (encoded("GIF"), "cannot be read as a PNG or JPEG image"),
        (encoded("TIFF"), "cannot be read as a PNG or JPEG image"),
        (b"", "cannot be read as a PNG or JPEG image"),
        (PNG[:50], "cannot be read as a PNG or JPEG image"),
        (BAD_CHUNK, "cannot be read as a PNG or JPEG image"),
        (claiming(100_000, 100_000), "has more than 67,108,864 pixels"),
        (claiming(1, 65_537), "or 65,536 along a side"),
    ],
    ids=["eps", "gif", "tiff", "empty", "cut", "chunk", "bomb", "long"],
)
def test_only_whole_png_and_jpeg_images_are_decoded(reader, content, sentence, tmp_path, monkeypatch):
    files, read, name = READERS[reader]
    program = write(tmp_path / "bin", {"gs": b'#!/bin/sh\ntouch "$0".started\n'}) / "gs"
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    assert len(read(write(tmp_path / "good", files(PNG))).images) == 1, "a PNG image is read whatever it is called"
    with pytest.raises(DataError, match=f"{name}.*{sentence}"):
        read(write(tmp_path / "bad", files(content)))
    assert not program.with_name("gs.started").exists()


@pytest.mark.parametrize(
    ("content", "axes", "sentence"),
    [
        (idx(*[1] * 65, axes=65, rest=b"x"), 3, "65 axes, but images have 3 and labels 1"),
        (idx(9, rest=b"x" * 9), 3, "1 axes, but images have 3 and labels 1"),
        (idx(5, 0, 0), 3, "said to hold 0 values by its header"),
        (idx(2**32 - 1, 2**32 - 1, 2**32 - 1), 3, "by its header, not 1 to 268,435,456"),
        (idx(2**28, rest=b"x" * 9), 1, "268,435,456 values in its header, 9 in the file"),
        (gzip.compress(idx(9, rest=bytes(2**24))), 1, "9 values in its header, more in the file"),
    ],
    ids=["axes", "labels", "no pixels", "overflow", "large", "longer"],
)  # fmt: skip
def test_idx_headers_are_checked_before_anything_is_unpacked(content, axes, sentence, tmp_path):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        read_idx(tmp_path / "a", axes)


def tarred(size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    entry = tarfile.TarInfo("a")
    entry.size, entry.type = size, kind
    return gzip.compress(entry.tobuf() + bytes(size + -size % 512) + bytes(1024))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.zip", zipped({"a": bytes(9999)}), "'a' in .*a.zip unpacks to 9,999 bytes, more than the 5,000"),
        ("a.tar.gz", tarred(9999), "a.tar.gz unpacks to more than the 5,000 bytes"),
        ("a.tar.gz", tarred(9999, tarfile.GNUTYPE_LONGNAME), "a.tar.gz unpacks to more than the 5,000 bytes"),
        ("a.tar.gz", tarred(9999, tarfile.XHDTYPE), "a.tar.gz unpacks to more than the 5,000 bytes"),
        ("a.tar.gz", tarred(0, tarfile.FIFOTYPE), "there is no file 'a' in the archive"),
        ("a.zip", zipped({"b": b""}), "there is no file 'a' in the archive"),
    ],
    ids=["zip", "tar", "name", "header", "pipe", "absent"],
)
def test_members_that_unpack_to_too_much_are_refused(name, content, sentence, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST", 5000)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        read_member(tmp_path / name, "a")


def flagged(content: bytes, offset: int, value: int) -> bytes:
    """A zip archive of one member with other bytes in its entry in the table of contents."""
    changed, at = bytearray(content), content.index(b"PK\1\2") + offset
    changed[at] = value
    return bytes(changed)


A_ZIP = zipped({"a/b/1.png": PNG})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (zipped({"a/b/1.png": PNG, "b/1.png": PNG}), "'b/1.png' in .* is in no folder of a character"),
        (zipped({"1.PNG": PNG}), "'1.PNG' in .* is in no folder of a character"),
        (zipped({"C:/a/b/1.png": PNG}), "points outside the archive"),
        (zipped({"__MACOSX/a/b/._1.png": b"x", "a/b/1.txt": b"x"}), "holds no PNG images"),
        (zipped({"a/b/1.png": PNG}, compress_type=zipfile.ZIP_BZIP2), "is encrypted or packed in an unusual way"),
        (flagged(A_ZIP, 8, 1), "is encrypted or packed in an unusual way"),
        (flagged(A_ZIP, 10, 99), "is encrypted or packed in an unusual way"),
        (flagged(zipped({"a/b/é.png": PNG}), 46 + 4, 0xFF), "is truncated or damaged"),
        (flagged(A_ZIP, 27, 32), "unpacks to .* bytes, more than the"),
        (flagged(A_ZIP, 16, 0), "'a/b/1.png' in .* is truncated or damaged: Bad CRC-32"),
    ],
    ids=["stray", "top", "drive", "no images", "bzip2", "encrypted", "packing", "name", "size", "checksum"],
)
def test_archives_of_images_that_do_not_fit_are_refused(content, sentence, tmp_path):
    with pytest.raises(DataError, match=sentence):
        omniglot(write(tmp_path, {"images_evaluation.zip": content}))


def test_what_file_managers_add_to_an_archive_is_ignored(tmp_path):
    members = {"x/a/b/1.png": PNG, "x/a/c/2.PNG": PNG, "x/a/b/.hidden.png": b"x", "x/a/d.png/": b""}
    members |= {f"__MACOSX/{name}": b"x" for name in members} | {"x/.DS_Store": b"x"}
    found = omniglot(write(tmp_path, {"images_evaluation.zip": zipped(members)}))
    assert found.class_names == ("a/b", "a/c")
    assert found.counts().tolist() == [1, 1]


HEAD = "filename,label\n"


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        *((f"{HEAD}1.jpg,{label}\n", "line 2 of .*val.csv is not the name of an image and of its class")
          for label in ("/etc", "..", "../x", "a\\b", "C:x", ".", "\x1b[2J", "a\0b")),
        *((f"{HEAD}{name},n1\n", "line 2 of .*val.csv is not the name of an image and of its class")
          for name in ("/etc/passwd", "../1.jpg", "..\\1.jpg", "C:1.jpg", "", "..")),
        (f"{HEAD}1.jpg\n", "line 2 of .*val.csv is not the name"),
        (f"{HEAD}1.jpg,n1,n2\n", "line 2 of .*val.csv is not the name"),
        (f"{HEAD}\"1.jpg,n1\n", "val.csv is truncated or damaged: unexpected end of data"),
        (f"{HEAD}1.jpg,{'x' * 200_000}\n", "val.csv is truncated or damaged: field larger than field limit"),
        (f"{HEAD}1.jpg,n1\n1.jpg,n2\n", "line 3 of .*val.csv lists 1.jpg a second time"),
        (f"{HEAD}{'x' * 300},n1\n", "cannot be read: File name too long"),
        (f"{HEAD}2.jpg,{'x' * 300}\n", "cannot be read: File name too long"),
        (HEAD, "val.csv is an empty list of images"),
        ("", "val.csv is no list of images with the columns filename and label"),
        ("a,b\n1.jpg,n1\n", "val.csv is no list of images with the columns filename and label"),
    ],
)  # fmt: skip
def test_lists_hold_names_and_no_paths(rows, sentence, tmp_path):
    with pytest.raises(DataError, match=sentence) as caught:
        miniimagenet(write(tmp_path, listed(rows)))
    assert str(caught.value).isprintable()


def test_lists_as_spreadsheets_write_them(tmp_path):
    rows = '\ufefflabel,filename,note\r\n"n, 1",1.jpg,\r\n'
    assert miniimagenet(write(tmp_path, listed(rows))).class_names == ("n, 1",)


PLACES: dict[str, tuple[dict[str, bytes], Callable, str]] = {
    "omniglot": ({"images_evaluation.zip": A_ZIP}, omniglot, "images_evaluation.zip"),
    "list": (listed(f"{HEAD}1.jpg,n1\n"), miniimagenet, "val.csv"),
    "miniimagenet": (listed(f"{HEAD}1.jpg,n1\n"), miniimagenet, "miniimagenet/images/1.jpg"),
    "folders": (listed(f"{HEAD}1.jpg,n1\n", ("n1/1.jpg",)), miniimagenet, "miniimagenet/images/n1/1.jpg"),
    "idx": (
        {"t10k-images-idx3-ubyte.gz": b"", "t10k-labels-idx1-ubyte.gz": b""},
        lambda folder: mp.data.mnist("test", data_dir=folder),
        "t10k-images-idx3-ubyte.gz",
    ),
    "cifar10": (
        {"test_batch.bin": bytes(3073)},
        lambda folder: mp.data.cifar10("test", data_dir=folder),
        "test_batch.bin",
    ),
    "from_folder": ({"cat/1.jpg": JPEG}, from_folder, "cat/1.jpg"),
}  # fmt: skip


REFUSED = {
    "link out": "is a link that leads out of",
    "link to nothing": "is a link to nothing",
    "link to itself": "cannot be read: Too many levels of symbolic links",
    "sparse": "has 1,099,511,627,776 bytes, more than the",
} | dict.fromkeys(("pipe", "folder", "device"), "is no file, but a folder, a pipe or a device")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", REFUSED)
def test_only_files_inside_the_folder_are_opened(kind, place, tmp_path):
    files, read, name = PLACES[place]
    path = write(tmp_path / "data", files) / name
    path.rename(tmp_path / "outside")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "sparse":
        with path.open("wb") as stream:
            stream.truncate(2**40)
    else:
        targets = {"link out": tmp_path / "outside", "device": "/dev/zero", "link to itself": path}
        path.symlink_to(targets.get(kind, "nowhere"))
    with pytest.raises(DataError, match=f"{name} {REFUSED[kind]}"):
        read(tmp_path / "data")


def test_an_inspection_says_what_is_refused(tmp_path):
    (tmp_path / "images_background.zip").mkdir()
    (state,) = mp.data.inspect(("omniglot",), tmp_path)
    assert (state["where"], state["problem"]) == ("–", f"{tmp_path / 'images_background.zip'} {reading.NO_FILE}")


def test_links_inside_a_folder_are_followed(tmp_path):
    write(tmp_path / "data", {"cat/1.jpg": JPEG, "images_evaluation.zip": A_ZIP})
    (tmp_path / "data" / "dog").symlink_to("cat")
    (tmp_path / "data" / "omniglot").mkdir()
    (tmp_path / "data" / "omniglot" / "images_evaluation.zip").symlink_to("../images_evaluation.zip")
    (tmp_path / "link").symlink_to("data")
    assert omniglot(tmp_path / "link").class_names == ("a/b",)
    for extra in ("images_evaluation.zip", "omniglot/images_evaluation.zip"):
        (tmp_path / "data" / extra).unlink()
    (tmp_path / "data" / "omniglot").rmdir()
    assert from_folder(tmp_path / "link").class_names == ("cat", "dog")


@pytest.mark.parametrize("target", ["..", "/", "../other"])
def test_a_class_that_is_a_link_out_of_the_folder_is_refused(target, tmp_path):
    write(tmp_path, {"data/cat/1.jpg": JPEG, "other/1.jpg": JPEG})
    (tmp_path / "data" / "dog").symlink_to(target)
    with pytest.raises(DataError, match="data/dog is a link that leads out of"):
        from_folder(tmp_path / "data")


def test_a_set_that_would_fill_the_memory_is_refused_at_its_first_image(tmp_path, monkeypatch):
    monkeypatch.setattr(image_folder, "LARGEST_SET", 71)
    write(tmp_path, {"cat/1.png": PNG, "cat/2.png": b"not read"})
    with pytest.raises(DataError, match=r"2 images of height and width \(6, 6\) are too large: give a smaller side"):
        from_folder(tmp_path)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "~nobody-of-this-name/x"], ids=["long", "zero", "home"])
@pytest.mark.parametrize("read", [lambda name: mp.data.mnist(data_dir=name), from_folder], ids=["mnist", "from_folder"])
def test_folders_that_no_system_has_are_a_sentence(name, read):
    with pytest.raises(DataError, match=r"does not exist or is not a folder|cannot be read"):
        read(name)


@pytest.mark.parametrize("name", ["a\x1b[2J", "a\nb", "\udc80"], ids=["escape", "newline", "bytes"])
def test_messages_are_safe_to_print(name, tmp_path):
    try:
        write(tmp_path, {f"{name}/1.png": b"x"})
    except OSError:
        pytest.skip("this file system does not have such names")
    with pytest.raises(DataError) as caught:
        from_folder(tmp_path)
    assert str(caught.value).isprintable()


def test_images_that_are_nearly_black_are_a_sentence_of_the_reader(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(np.full((6, 6), 254, np.uint8)).save(stream, "PNG")
    content = zipped({"a/b/1.png": stream.getvalue()})
    with pytest.raises(DataError, match=r"images_evaluation.zip cannot be used: pixels of omniglot \(surrogate\)"):
        omniglot(write(tmp_path, {"images_evaluation.zip": content}))
    with pytest.raises(DataError, match=r"test_batch.bin cannot be used: pixels of cifar10"):
        mp.data.cifar10("test", data_dir=write(tmp_path, {"test_batch.bin": bytes([1]) + bytes(3071) + b"\1"}))


def test_a_set_of_one_class_is_a_set(tmp_path):
    data = from_folder(write(tmp_path, {f"cat/{k}.png": PNG for k in range(3)}))
    with pytest.raises(ValueError, match="has 1 classes, too few for 2 different ones per episode"):
        mp.tasks.FewShot(data, ways=2, shots=1, queries=1)
